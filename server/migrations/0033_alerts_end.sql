-- Alerts that are over when nobody tells of them any more, and news of one that has become worse.

-- Null: until somebody resolves it. Otherwise whoever raised it does so again and again while it holds.
alter table alerts add column believed_until timestamptz;

-- A process that ended meanwhile can have left these behind.
update alerts set believed_until = now() + interval '15 minutes'
where resolved_at is null and kind in ('error_rising', 'objective');

alter table alert_deliveries
  drop constraint alert_deliveries_news_check,
  add constraint alert_deliveries_news_check check (news in ('firing', 'worse', 'resolved'));
