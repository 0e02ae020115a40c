# The roles of the database, as the mounted Secrets have them now. Goes before the start script and the probe.
#
# Environment:
#   PG_ROLE        role that owns the database of the same name; it does not log in itself
#   PG_DATA_ROLE   role that reads and writes rows
#   PG_EXTENSION   extension that the database needs
#   PG_OVERLAP     how long logins of before a rotation stay good, an interval
#   SECRET_DIR     mounted Secrets: owner, api, worker and superuser, each with the files username and password

# The first that is not there, as the end of its name; a Secret that was deleted takes its files away.
missing_secret() {
    for role in owner api worker superuser; do
        [ -r "$SECRET_DIR/$role/username" ] && [ -r "$SECRET_DIR/$role/password" ] && continue
        [ "$role" = owner ] && echo / || echo "-$role"
        return
    done
}

# Changes with every one of them.
fingerprint() {
    cat "$SECRET_DIR"/*/username "$SECRET_DIR"/*/password | sha256sum
}

quoted() {
    sed "s/'/''/g" "$SECRET_DIR/$1"
}

# $1 is the Secret, $2 the role that it is a member of.
login_sql() {
    user=$(quoted "$1/username")
    password=$(quoted "$1/password")
    cat <<SQL
DO \$do\$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$user') THEN
        CREATE ROLE "$user";
    END IF;
END \$do\$;

GRANT "$2" TO "$user";

ALTER ROLE "$user" LOGIN PASSWORD '$password' VALID UNTIL 'infinity';

SQL
}

# Statements end with an empty line, as the single-user mode wants them. Each may be run again.
roles_sql() {
    cat <<SQL
SET password_encryption = 'scram-sha-256';

ALTER ROLE "$PG_ROLE" NOLOGIN;

DO \$do\$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$PG_DATA_ROLE') THEN
        CREATE ROLE "$PG_DATA_ROLE" NOLOGIN;
    END IF;
END \$do\$;

GRANT CONNECT, TEMPORARY ON DATABASE "$PG_ROLE" TO "$PG_DATA_ROLE";

GRANT USAGE ON SCHEMA public TO "$PG_DATA_ROLE";

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "$PG_DATA_ROLE";

GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO "$PG_DATA_ROLE";

ALTER DEFAULT PRIVILEGES FOR ROLE "$PG_ROLE" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "$PG_DATA_ROLE";

ALTER DEFAULT PRIVILEGES FOR ROLE "$PG_ROLE" GRANT USAGE, SELECT ON SEQUENCES TO "$PG_DATA_ROLE";

ALTER ROLE "$(quoted superuser/username)" PASSWORD '$(quoted superuser/password)';

SQL
    login_sql owner "$PG_ROLE"
    login_sql api "$PG_DATA_ROLE"
    login_sql worker "$PG_DATA_ROLE"
    # Connections that are open outlive their login; new ones are refused once the time has passed.
    cat <<SQL
DO \$do\$ DECLARE name text; BEGIN
    FOR name IN
        SELECT DISTINCT member.rolname FROM pg_auth_members
        JOIN pg_roles member ON member.oid = pg_auth_members.member
        JOIN pg_roles parent ON parent.oid = pg_auth_members.roleid
        WHERE parent.rolname IN ('$PG_ROLE', '$PG_DATA_ROLE') AND member.rolcanlogin AND NOT member.rolsuper
        AND coalesce(member.rolvaliduntil, 'infinity') = 'infinity' AND member.rolname NOT IN
        ('$(quoted owner/username)', '$(quoted api/username)', '$(quoted worker/username)')
    LOOP
        EXECUTE format('ALTER ROLE %I VALID UNTIL %L', name, now() + interval '$PG_OVERLAP');
    END LOOP;
END \$do\$;

CREATE EXTENSION IF NOT EXISTS "$PG_EXTENSION";

ALTER EXTENSION "$PG_EXTENSION" UPDATE;

SQL
}
