//! The server that the tests of a process share.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use sea_orm::{ConnectionTrait, DbErr};
use tokio::process::Command;
use tokio::sync::OnceCell;

const LIFE: Duration = Duration::from_hours(1);

/// The server's URL, asked for once in a process, which also removes the schemas of earlier ones.
pub(crate) async fn url() -> anyhow::Result<&'static str> {
    static URL: OnceCell<String> = OnceCell::const_new();
    let url = URL.get_or_try_init(async || {
        let url = match std::env::var("CLAVIGER_TEST_DATABASE_URL") {
            Ok(url) => url,
            Err(_) => ask().await?,
        };
        remove_old(&url).await.context("cannot clean the database of the tests")?;
        anyhow::Ok(url)
    });
    Ok(url.await?)
}

async fn ask() -> anyhow::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres.sh");
    let done = Command::new(script)
        .arg("url")
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run scripts/postgres.sh")?;
    ensure!(done.status.success(), "scripts/postgres.sh: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?.trim_end().to_owned())
}

/// Removes the schemas that are older than [`LIFE`]; of several processes one after the other.
pub(crate) async fn remove_old(url: &str) -> Result<(), DbErr> {
    let database = super::connect(url).await?;
    database.execute_unprepared(&removal(SystemTime::now() - LIFE)).await?;
    database.close().await
}

/// A schema's name begins with the milliseconds of its birth (UUID version 7), so names compare as ages do.
/// Each removal is committed by itself: one transaction cannot lock the tables of many.
fn removal(before: SystemTime) -> String {
    let millis = before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    format!(
        r"DO $$ DECLARE old name; BEGIN
            PERFORM pg_advisory_lock(5418290); -- until the connection ends
            FOR old IN SELECT nspname FROM pg_namespace
                WHERE nspname ~ '^t_[0-9a-f]{{32}}$' AND nspname < 't_{millis:012x}' LOOP
                EXECUTE format('DROP SCHEMA %I CASCADE', old);
                COMMIT;
            END LOOP;
        END $$"
    )
}
