-- A company lists the deliveries that failed for good, a seller the leads it sold; both by the order
-- in which they came.
create index rejection_crm_of_company on rejection (company_id, id) where kind = 'crm';
create index sale_of_seller on sale (seller_id, lead_id);
