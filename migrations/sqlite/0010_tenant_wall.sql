-- The second wall between tenants is of PostgreSQL's making (postgres/0010_tenant_wall.sql). SQLite has no roles: here the
-- condition in every statement is the only one, and the file belongs to one program.
SELECT 1;
