-- How far messages have arrived at a device of a member. Never less than what they have read, which is not written twice:
-- readers take the greater of both.

alter table room_members add column delivered_seq bigint not null default 0;
