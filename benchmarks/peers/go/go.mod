module plainauction

go 1.22
