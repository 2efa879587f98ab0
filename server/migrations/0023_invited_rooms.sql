-- An invitation may lead into rooms: whoever accepts it is in them from the start.

alter table invitations add column room_ids uuid[] not null default '{}';
