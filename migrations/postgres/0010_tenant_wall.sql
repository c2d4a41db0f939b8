-- The second wall between tenants. What is read for a tenant is read as the role `dca_tenant`, which owns nothing: row-level
-- security shows it the rows of the guilds that the transaction names in `dca.guilds`, whatever a statement says. Whoever
-- owns the tables, which is the program itself, reads all of them: projectors and jobs work for every tenant.

DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dca_tenant') THEN
        BEGIN
            CREATE ROLE dca_tenant NOLOGIN;
        EXCEPTION
            -- Another database of the same server was quicker: roles belong to all of them.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role dca_tenant is missing, and % may not make it', current_user
                    USING ERRCODE = 'insufficient_privilege',
                          HINT = format('Let an administrator run once: CREATE ROLE dca_tenant NOLOGIN; GRANT dca_tenant '
                                        'TO %I; then start again.', current_user);
        END;
    END IF;
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        FOR attempt IN 1..20 LOOP
            BEGIN
                EXECUTE format('GRANT dca_tenant TO %I', current_user);
                EXIT;
            EXCEPTION
                -- Two databases of the same server at the same moment.
                WHEN internal_error THEN PERFORM pg_sleep(0.05);
                WHEN insufficient_privilege THEN
                    IF pg_has_role(current_user, 'dca_tenant', 'MEMBER') THEN
                        EXIT;
                    END IF;
                    RAISE EXCEPTION '% may not act as the role dca_tenant', current_user
                        USING ERRCODE = 'insufficient_privilege',
                              HINT = format('Let an administrator run once: GRANT dca_tenant TO %I; then start again.',
                                            current_user);
            END;
        END LOOP;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO dca_tenant', current_schema());
END
$role$;

ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON events USING (current_user <> 'dca_tenant' OR guild_id = ANY ((SELECT string_to_array(current_setting('dca.guilds', true), ','))::text[]));
GRANT SELECT ON events TO dca_tenant;

ALTER TABLE held_removal ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON held_removal USING (current_user <> 'dca_tenant' OR guild_id = ANY ((SELECT string_to_array(current_setting('dca.guilds', true), ','))::text[]));
GRANT SELECT ON held_removal TO dca_tenant;

ALTER TABLE license_view ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON license_view USING (current_user <> 'dca_tenant' OR guild_id = ANY ((SELECT string_to_array(current_setting('dca.guilds', true), ','))::text[]));
GRANT SELECT ON license_view TO dca_tenant;

ALTER TABLE member_view ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON member_view USING (current_user <> 'dca_tenant' OR guild_id = ANY ((SELECT string_to_array(current_setting('dca.guilds', true), ','))::text[]));
GRANT SELECT ON member_view TO dca_tenant;

ALTER TABLE guild_view ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON guild_view USING (current_user <> 'dca_tenant' OR id = ANY ((SELECT string_to_array(current_setting('dca.guilds', true), ','))::text[]));
GRANT SELECT ON guild_view TO dca_tenant;

ALTER TABLE audit_trail ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_trail USING (current_user <> 'dca_tenant' OR guild_id = ANY ((SELECT string_to_array(current_setting('dca.guilds', true), ','))::text[]));
GRANT SELECT ON audit_trail TO dca_tenant;
