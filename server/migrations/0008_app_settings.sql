-- What an operator says of the server with the app (issuer, endpoints, how to prove oneself): no secrets.
alter table provider_apps add column settings jsonb not null default '{}';
-- Sealed like the client secret, under the same data key; JWK.
alter table provider_apps add column private_key bytea;

-- Apps that Atom registered by itself (RFC 7591): the issuer and the redirect URI it was done with. null: an operator's.
alter table provider_apps add column registered_with text;
-- null: never.
alter table provider_apps add column registration_ends_at timestamptz;
drop index provider_apps_current;
create unique index provider_apps_current on provider_apps (workspace_id, provider, coalesce(registered_with, ''))
  where retired_at is null;

-- The sign-in session that began the flow, which has to hold when the browser comes back. null: begun before this was asked.
alter table connection_flows add column session_id uuid;

-- The key that the tokens are bound to (RFC 9449), sealed under the data key of the connection; made with the consent and kept
-- until the next, so a refresh does not write it.
alter table credentials add column dpop_key bytea;
