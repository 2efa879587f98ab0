-- What differs from connection to connection and is no secret: Microsoft's tenant, Salesforce's host, Slack's team.
-- With the credential and not with the facts of the connection, because a refresh may bring another (Salesforce moves an
-- organisation), and it must change together with the token it belongs to.
alter table credentials add column particulars jsonb not null default '{}';
-- What the person said of them before consent.
alter table connection_flows add column particulars jsonb not null default '{}';
