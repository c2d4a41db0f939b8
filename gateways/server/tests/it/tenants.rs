//! The second wall between tenants, of PostgreSQL's own: what is read for a tenant is read as a role that sees the rows of
//! the tenant's guilds only, whatever a statement says.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::aliases::import;
use crate::on_engines;
use crate::world::{Engine, World};

on_engines!(
    postgres,
    crate::world::Engine::postgres().await,
    the_wall_stands_before_every_list_and_after_a_rebuild
);
on_engines!(
    two_instances,
    crate::world::Engine::two_instances().await,
    the_wall_stands_before_every_list_and_after_a_rebuild
);

/// What rows of guilds stand in.
const WALLED: [&str; 7] =
    ["events", "held_removal", "license_view", "member_view", "guild_view", "audit_trail", "alias_view"];

/// Rows of a table as the tenant role sees them.
async fn seen(url: &str, table: &str, guilds: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let begin = format!("BEGIN; SET LOCAL ROLE dca_tenant; SET LOCAL dca.guilds = '{guilds}'");
    connection.execute(&*begin).await.unwrap();
    let text = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(&text).fetch_one(&mut connection).await.unwrap()
}

async fn the_wall_stands_before_every_list_and_after_a_rebuild(engine: Engine) {
    let mut world = World::demo(engine).await;
    let (guild, url) = (world.facts.guild.clone(), world.database_url().unwrap().to_owned());
    world.generate("pro", 3).await;
    import(&mut world, &format!("guildId={guild}"), "type,key\npro,OLD-1\n").await;
    let foreign = json!({ "key": "OLD-1" });
    let api_key = world.api_key("secret", None).await;
    let told = world.with_key(&api_key, "POST", "/licenses/validate", foreign).await.expect(200);
    assert_eq!(told["license"]["guildId"], *guild);
    for table in WALLED {
        let own = seen(&url, table, &guild).await;
        assert!(own > 0 || table == "held_removal", "{table} shows a guild nothing of its own");
        for other in ["", "1", "1,2"] {
            assert_eq!(seen(&url, table, other).await, 0, "{table} shows rows to {other:?}");
        }
        assert_eq!(seen(&url, table, &format!("1,{guild}")).await, own, "{table}");
    }
    // The role may read what it is shown, and nothing else, and change nothing.
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for text in [
        "SELECT 1 FROM subject_keys",
        "SELECT 1 FROM user_view",
        "DELETE FROM license_view",
        "DELETE FROM events",
    ] {
        let mut tx = connection.begin().await.unwrap();
        tx.execute("SET LOCAL ROLE dca_tenant").await.unwrap();
        let refused = tx.execute(text).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{text}: {refused}");
    }

    let grace = token_of(&world, &world.facts.grace).await;
    let lists = [
        format!("/licenses?guildId={guild}"),
        format!("/admin/audit-log?guildId={guild}"),
        "/admin/audit-log".to_owned(),
        format!("/guilds/{guild}/members"),
    ];
    for path in &lists {
        assert_ne!(listed(&world, &grace, path).await, json!([]), "{path}");
    }

    // Whatever is listed for a tenant is read through the wall: where the wall is shut, it is empty. The platform sees all.
    for table in WALLED {
        let shut = format!("CREATE POLICY shut ON {table} AS RESTRICTIVE TO dca_tenant USING (false)");
        connection.execute(&*shut).await.unwrap();
    }
    for path in &lists {
        assert_eq!(listed(&world, &grace, path).await, json!([]), "{path} is read past the wall");
    }
    for path in ["/licenses", "/admin/audit-log"] {
        let told = world.owner("GET", path, Value::Null).await.expect(200);
        assert!(told["data"].as_array().unwrap().len() > 3, "{path}");
    }

    // A rebuild makes new tables, with the wall and without what was put on the old ones by hand.
    connection.execute("DROP POLICY shut ON events").await.unwrap();
    world.cli(&["rebuild", "all"]).await;
    for path in &lists {
        assert_ne!(listed(&world, &grace, path).await, json!([]), "{path} after a rebuild");
    }
    for table in ["license_view", "member_view", "guild_view", "audit_trail", "alias_view"] {
        assert!(seen(&url, table, &guild).await > 0, "{table}");
        assert_eq!(seen(&url, table, "1").await, 0, "{table} has no wall after a rebuild");
    }
}

/// The rows of a list, as somebody sees them.
async fn listed(world: &World, bearer: &str, path: &str) -> Value {
    let told = world.ask("GET", path, &[("Authorization", bearer)], Value::Null).await.expect(200);
    told["data"].clone()
}

async fn token_of(world: &World, user: &str) -> String {
    let issued = world.cli(&["admin", "token", "--user", user]).await;
    format!("Bearer {}", issued["accessToken"].as_str().unwrap())
}
