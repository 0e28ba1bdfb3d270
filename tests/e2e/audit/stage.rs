//! A fleet on either database, and what the tests do with its audit log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use claviger_core::audit::{Action, Event, Origin};
use claviger_core::ids::Tenant;
use claviger_crypto::Keyring;
use claviger_keyvault::audit_file::{self, Head, Report, VerifyError};
use claviger_keyvault::master_key;
use claviger_keyvault::store::Location;
use claviger_proto::keyvault_v1::verify_audit_log_response::{Kind, Problem};
use claviger_proto::keyvault_v1::{ExportAuditEventsRequest, VerifyAuditLogRequest, VerifyAuditLogResponse};
use claviger_tests::fleet::environment;
use claviger_tests::postgres::{self, Schema};
use claviger_tests::{Fleet, Options, Process, database};
use time::OffsetDateTime;
use tonic::Status;

use crate::database::{Database, Inside};

/// A base64 key of 32 bytes.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const LONGEST: Duration = Duration::from_secs(60);

/// Both services over one database.
pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    schema: Option<Schema>,
}

impl Stage {
    pub(crate) async fn sqlite() -> Self {
        Self { fleet: Fleet::start().await.unwrap(), schema: None }
    }

    pub(crate) async fn postgres() -> Self {
        let schema = postgres::schema().await.unwrap();
        let vault = environment(&[("CLAVIGER_DATABASE_URL", &schema.url), ("CLAVIGER_MASTER_KEY", MASTER_KEY)]);
        let fleet = Fleet::start_with(Options { vault, ..Default::default() }).await.unwrap();
        Self { fleet, schema: Some(schema) }
    }

    pub(crate) async fn both() -> [Self; 2] {
        [Self::sqlite().await, Self::postgres().await]
    }

    /// Runs a statement behind the vault's back.
    pub(crate) async fn alter(&self, sql: &str) {
        let done = match &self.schema {
            Some(schema) => schema.alter(sql).await,
            None => database::alter(&self.fleet.database(), sql).await,
        };
        assert!(done.is_ok(), "{sql}: {done:?}");
    }

    /// The database, as anyone could read it who has it.
    pub(crate) async fn database(&self) -> Database {
        match &self.schema {
            Some(schema) => Database::at(&schema.url).await,
            None => Database::open(&self.fleet.database()).await,
        }
    }

    /// Takes away what guards the log from whoever cannot: the triggers of SQLite. Of PostgreSQL's tables it is the owner.
    pub(crate) async fn unguard(&self) {
        if self.schema.is_none() {
            self.alter("DROP TRIGGER audit_events_no_update; DROP TRIGGER audit_events_no_delete").await;
        }
    }

    /// The one number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match &self.schema {
            Some(schema) => schema.number(sql).await.unwrap(),
            None => database::number(&self.fleet.database(), sql).await.unwrap(),
        }
    }

    /// The vault's storage, opened a second time.
    pub(crate) async fn inside(&self) -> Inside {
        match &self.schema {
            Some(schema) => {
                let location = Location::parse(&schema.url, true).unwrap();
                Inside::over(&location, Keyring::from_base64(MASTER_KEY).unwrap()).await
            }
            None => {
                let data = self.fleet.folder.path().join("data");
                let keyring = master_key::read(&data.join("master.key")).unwrap();
                Inside::over(&Location::Sqlite(data.join("keyvault.db")), keyring).await
            }
        }
    }

    /// Appends many events that tell of no row.
    pub(crate) async fn append(&self, count: usize) {
        let inside = self.inside().await;
        for first in (0..count).step_by(1_000) {
            let events: Vec<_> = (first..count.min(first + 1_000)).map(event).collect();
            let job = inside.store.write(move |txn| {
                Box::pin(async move {
                    for event in &events {
                        txn.record(event).await?;
                    }
                    Ok(())
                })
            });
            job.await.unwrap();
        }
    }

    /// What VerifyAuditLog says, from the first message to the last.
    pub(crate) async fn verification(&self) -> Result<Vec<VerifyAuditLogResponse>, Status> {
        let mut stream = self.fleet.audit_log().verify_audit_log(VerifyAuditLogRequest {}).await?.into_inner();
        let mut told = Vec::new();
        while let Some(message) = stream.message().await? {
            told.push(message);
        }
        Ok(told)
    }

    /// The first problem that VerifyAuditLog finds; otherwise the head.
    pub(crate) async fn verified(&self) -> Result<Head, Problem> {
        let last = self.verification().await.unwrap().pop().unwrap();
        assert!(last.done);
        if let Some(problem) = last.problem {
            return Err(problem);
        }
        assert_eq!((last.verified_events, last.verified_rows), (last.total_events, last.total_rows));
        Ok(format!("{}:{}", last.head_seq, last.head_hash).parse().unwrap())
    }

    /// Exports into a file of the fleet's folder.
    pub(crate) async fn export(&self, parent: &str, first_seq: u64, file: &str) -> Result<PathBuf, Status> {
        self.export_to(parent, first_seq, 0, file).await
    }

    /// The same up to an event.
    pub(crate) async fn export_to(
        &self,
        parent: &str,
        first_seq: u64,
        last_seq: u64,
        file: &str,
    ) -> Result<PathBuf, Status> {
        let request = ExportAuditEventsRequest { parent: parent.to_owned(), first_seq, last_seq };
        let mut stream = self.fleet.audit_log().export_audit_events(request).await?.into_inner();
        let mut text = String::new();
        while let Some(part) = stream.message().await? {
            assert!(part.lines.len() <= 64 << 10 && part.lines.ends_with('\n'), "{}", part.lines.len());
            text.push_str(&part.lines);
        }
        let path = self.path(file);
        std::fs::write(&path, text).unwrap();
        Ok(path)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.fleet.folder.path().join(file)
    }

    /// Starts `audit seal`.
    pub(crate) fn sealing(&self, before: &str, out: &Path) -> Process {
        let place = match &self.schema {
            Some(schema) => environment(&[("CLAVIGER_DATABASE_URL", &schema.url), ("CLAVIGER_MASTER_KEY", MASTER_KEY)]),
            None => environment(&[("CLAVIGER_DATA_DIR", &self.path("data").to_string_lossy())]),
        };
        let arguments = ["audit", "seal", "--before", before, "--out", &out.to_string_lossy()];
        Process::spawn("claviger-keyvault", &arguments, &place).unwrap()
    }

    /// Runs `audit seal`: whether it succeeded, and what it said.
    pub(crate) fn seal(&self, before: &str, out: &Path) -> (bool, String) {
        let mut process = self.sealing(before, out);
        let status = process.wait(LONGEST).unwrap();
        (status.success(), process.log())
    }
}

pub(crate) fn problem(kind: Kind, seq: u64, target: &str) -> Problem {
    Problem { kind: kind.into(), seq, target: target.to_owned() }
}

/// Verifies files offline.
pub(crate) fn offline(files: &[&Path], heads: &[Head]) -> Result<Report, VerifyError> {
    let files: Vec<_> = files.iter().map(|file| file.to_path_buf()).collect();
    audit_file::verify(&files, heads, &mut |_| ())
}

fn event(n: usize) -> Event {
    let tenant = Tenant::parse(if n.is_multiple_of(2) { "workspaces/even" } else { "workspaces/odd" }).unwrap();
    Event {
        time: OffsetDateTime::now_utc(),
        target: format!("{tenant}/keys/-"),
        tenant,
        action: Action::SecretTested,
        origin: Origin { request_id: format!("append-{n}"), ..Origin::vault() },
        details: Vec::new(),
    }
}
