-- A company's fields go out in the order it gave them, and jsonb keeps none.
alter table campaign alter column body type json using body::json;
