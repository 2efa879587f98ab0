-- How often another successor was given in place of one that nobody had presented: an answer that was lost.
alter table refresh_tokens add column reissued smallint not null default 0;

-- Which of a connection's credentials an event is about; null: the whole connection, or an event from before this was kept.
alter table connection_events add column slot text;
