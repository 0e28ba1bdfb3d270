#![expect(clippy::unwrap_used, reason = "tests")]

use sea_orm::TransactionTrait;

use super::*;

const TABLE: &str = "CREATE TABLE things (id bigint); INSERT INTO things VALUES (1)";
const COUNT: &str = "SELECT count(*) FROM things";

#[tokio::test]
async fn a_schema_is_private() {
    let (one, other) = (schema().await.unwrap(), schema().await.unwrap());
    one.alter(TABLE).await.unwrap();
    other.number(COUNT).await.unwrap_err();
    other.alter(TABLE).await.unwrap();
    other.alter("INSERT INTO things VALUES (2)").await.unwrap();
    assert_eq!((one.number(COUNT).await.unwrap(), other.number(COUNT).await.unwrap()), (1, 2));
}

#[tokio::test]
async fn every_connection_of_a_pool_is_in_the_schema() {
    const POOL: u32 = 8;
    let schema = schema().await.unwrap();
    schema.alter(TABLE).await.unwrap();
    let mut options = ConnectOptions::new(&schema.url);
    options.max_connections(POOL);
    let database = Database::connect(options).await.unwrap();
    let mut held = Vec::new(); // so that each is another connection
    for _ in 0..POOL {
        held.push(database.begin().await.unwrap());
    }
    for connection in &held {
        let path = "SELECT current_schema()::text, current_setting('search_path')";
        let row = connection
            .query_one_raw(Statement::from_string(database.get_database_backend(), path))
            .await
            .unwrap()
            .unwrap();
        let (schema_now, path): (String, String) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        assert_eq!((&schema_now, &path), (&schema.name, &schema.name));
        connection.execute_unprepared(COUNT).await.unwrap();
    }
}

#[tokio::test]
async fn only_old_schemas_of_tests_are_removed() {
    let young = schema().await.unwrap();
    let old = format!("t_{}", Uuid::from_u128(7 << 76).simple()); // born in 1970
    let foreign = format!("foreign_{}", young.name);
    young.alter(&format!("CREATE SCHEMA IF NOT EXISTS {old}; CREATE SCHEMA {foreign}")).await.unwrap();
    server::remove_old(server::url().await.unwrap()).await.unwrap();
    let there =
        async |name: &str| young.number(&format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{name}'")).await;
    assert_eq!(there(&old).await.unwrap(), 0);
    assert_eq!(there(&young.name).await.unwrap(), 1);
    assert_eq!(there(&foreign).await.unwrap(), 1);
    young.alter(&format!("DROP SCHEMA {foreign}")).await.unwrap();
}

#[test]
fn the_search_path_joins_what_the_url_has() {
    assert_eq!(inside("postgres://h/d", "t_1"), "postgres://h/d?options=-csearch_path%3Dt_1");
    assert_eq!(inside("postgres://h/d?host=/s", "t_1"), "postgres://h/d?host=/s&options=-csearch_path%3Dt_1");
}
