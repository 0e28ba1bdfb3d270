//! Every edit of the database that we can think of: what was edited is refused, and VerifyAuditLog names it.

use claviger_core::ids::{AgentId, SessionId, WorkspaceId};
use claviger_keyvault::store::StoreError;
use claviger_proto::keyvault_v1::GetWorkspaceRequest;
use claviger_proto::keyvault_v1::verify_audit_log_response::{Kind, Problem};
use claviger_tests::fleet::resolve_request;
use claviger_tests::reason;

use super::seeded::{BINDING, ROUTE, Seeded};
use super::stored::Stored;
use crate::audit::stage::{Stage, problem};

/// One edit, and what comes of it.
struct Edit {
    what: &'static str,
    sql: String,
    found: Problem,
    refused: Refused,
}

/// What does not serve any more.
enum Refused {
    Key(Stored, &'static str),
    Workspace(&'static str),
    Route,
    Binding,
    /// It is the log alone that was edited, or what is gone altogether.
    Nothing,
}

/// 32 zero bytes, as both databases say it.
const ZEROS: &str = "(SELECT first_hash FROM good_audit_segments)";

#[tokio::test(flavor = "multi_thread")]
async fn every_edit_of_the_database_is_found() {
    assert_found(Seeded::new(Stage::sqlite().await).await).await;
}

/// By the role that owns the tables, as the service's cannot.
#[tokio::test(flavor = "multi_thread")]
async fn every_edit_of_the_database_is_found_on_postgresql() {
    assert_found(Seeded::new(Stage::postgres().await).await).await;
}

async fn assert_found(seeded: Seeded) {
    seeded.stage.verified().await.unwrap();
    let edits = [keys(&seeded).await, moved(&seeded).await, policy(&seeded).await, log(&seeded).await].concat_all();
    assert!(edits.len() >= 30, "{}", edits.len());
    let mut overlooked = Vec::new();
    for edit in edits {
        seeded.stage.alter(&edit.sql).await;
        let found = seeded.stage.verified().await;
        if found != Err(edit.found.clone()) {
            overlooked.push((edit.what, found));
        }
        assert_refused(&seeded, &edit.refused, edit.what).await;
        seeded.put_back().await;
    }
    assert!(overlooked.is_empty(), "{overlooked:#?}");
    seeded.stage.verified().await.unwrap();
    seeded.plain.assert_resolves(&seeded.stage.fleet).await;
    let asked = seeded.stage.fleet.provider.received_requests().await.unwrap();
    assert_eq!(asked.len(), 2, "the tests of the seed alone: no altered key was sent anywhere");
}

trait ConcatAll<T> {
    fn concat_all(self) -> Vec<T>;
}

impl<T, const N: usize> ConcatAll<T> for [Vec<T>; N] {
    fn concat_all(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}

/// Columns of keys' rows.
async fn keys(seeded: &Seeded) -> Vec<Edit> {
    const UNREVOKED: &str = "state = 'ACTIVE', revoke_time = NULL, revoker = NULL, revoke_reason = NULL";
    let (fingerprint, mac) = (format!("fingerprint = {ZEROS}"), format!("mac = {ZEROS}"));
    let old = |column: &str, key: &Stored| format!("{column} = (SELECT {column} FROM old WHERE id = '{}')", key.uid);
    let un_purged = format!("{UNREVOKED}, {}", old("sealed", &seeded.purged));
    let Seeded { plain, revoked, purged, custom, located, .. } = seeded;
    let mut edits = Vec::new();
    for (what, key, set) in [
        ("un-revoked", revoked, UNREVOKED),
        ("un-purged", purged, &un_purged),
        ("base_url", custom, "base_url = 'http://127.0.0.1:9/thief'"),
        ("location", located, "location = 'us-east-2'"),
        ("allowed_models", plain, "allowed_models = '[\"other\"]'"),
        ("rotation_priority", plain, "rotation_priority = 7"),
        ("expire_time", plain, "expire_time = 4102444800000000"),
        ("label", plain, "label = 'mine'"),
        ("secret_version", plain, "secret_version = 2"),
        ("fingerprint", plain, &fingerprint),
        ("mac", plain, &mac),
        ("last_seq", plain, "last_seq = last_seq - 1"),
    ] {
        let sql = format!("UPDATE provider_keys SET {set} WHERE id = '{}'", key.uid);
        edits.push(altered(seeded, what, sql, key, "KEY_ALTERED").await);
    }
    let sealed_again = format!("UPDATE provider_keys SET {} WHERE id = '{}'", old("sealed", purged), purged.uid);
    edits.push(Edit {
        refused: Refused::Nothing,
        ..altered(seeded, "purged ciphertext", sealed_again, purged, "").await
    });
    let rolled_back = format!(
        "DELETE FROM provider_keys WHERE id = '{id}'; INSERT INTO provider_keys SELECT * FROM old WHERE id = '{id}'",
        id = plain.uid
    );
    edits.push(altered(seeded, "rolled back to an earlier copy", rolled_back, plain, "KEY_ALTERED").await);
    edits
}

async fn altered(seeded: &Seeded, what: &'static str, sql: String, key: &Stored, reason: &'static str) -> Edit {
    let found = problem(Kind::RowAltered, seeded.newest(&key.name()).await, &key.name());
    Edit { what, sql, found, refused: Refused::Key(key.clone(), reason) }
}

/// Rows, ciphertexts and keys in another's place.
async fn moved(seeded: &Seeded) -> Vec<Edit> {
    const THIEF: &str = "0198c0de-0000-7000-8000-000000000001";
    let Seeded { plain, twin, .. } = seeded;
    let swapped = format!(
        "UPDATE provider_keys SET sealed = (SELECT g.sealed FROM good_provider_keys g \
         WHERE g.id <> provider_keys.id AND g.id IN ('{0}', '{1}')) WHERE id IN ('{0}', '{1}')",
        plain.uid, twin.uid
    );
    let exchanged = "UPDATE workspace_keys SET wrapped = (SELECT g.wrapped FROM good_workspace_keys g \
                     WHERE g.tenant = 'workspaces/other') WHERE tenant = 'workspaces/acme'";
    let copy = Stored { parent: "workspaces/other".to_owned(), uid: THIEF.to_owned(), ..plain.clone() };
    let copied = format!(
        "CREATE TEMP TABLE c AS SELECT * FROM provider_keys WHERE id = '{}'; \
         UPDATE c SET id = '{THIEF}', tenant = 'workspaces/other'; INSERT INTO provider_keys SELECT * FROM c",
        plain.uid
    );
    let eve = plain.under("workspaces/acme/users/eve");
    let given = format!("UPDATE provider_keys SET owner_user = 'eve' WHERE id = '{}'", plain.uid);
    let gone = format!("DELETE FROM provider_keys WHERE id = '{}'", twin.uid);
    let row = |key: &Stored| problem(Kind::RowAltered, 0, &key.name());
    let missing = problem(Kind::RowMissing, seeded.newest(&twin.name()).await, &twin.name());
    vec![
        altered(seeded, "two ciphertexts swapped", swapped, plain, "KEY_UNREADABLE").await,
        altered(seeded, "another's workspace key", exchanged.to_owned(), plain, "KEY_UNREADABLE").await,
        altered(seeded, "no workspace key", "DELETE FROM workspace_keys".to_owned(), plain, "KEY_UNREADABLE").await,
        Edit { what: "copied", sql: copied, found: row(&copy), refused: Refused::Key(copy, "KEY_ALTERED") },
        Edit { what: "owner_user", sql: given, found: row(&eve), refused: Refused::Key(eve, "KEY_ALTERED") },
        Edit { what: "key row deleted", sql: gone, found: missing, refused: Refused::Nothing },
    ]
}

/// Workspaces' records and standing orders.
async fn policy(seeded: &Seeded) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (what, kind, target, sql, refused) in [
        (
            "consent loosened",
            Kind::RowAltered,
            "workspaces/strict",
            "UPDATE workspaces SET fallback_consent = 'ANY' WHERE id = 'strict'",
            Refused::Workspace("strict"),
        ),
        (
            "read_only cleared",
            Kind::RowAltered,
            "workspaces/strict",
            "UPDATE workspaces SET read_only = FALSE WHERE id = 'strict'",
            Refused::Workspace("strict"),
        ),
        (
            "workspace row deleted",
            Kind::RowMissing,
            "workspaces/strict",
            "DELETE FROM workspaces WHERE id = 'strict'",
            Refused::Workspace("strict"),
        ),
        ("route edited", Kind::RowAltered, ROUTE, "UPDATE agent_routes SET mode = 'METERED'", Refused::Route),
        ("route row deleted", Kind::RowMissing, ROUTE, "DELETE FROM agent_routes", Refused::Nothing),
        (
            "binding edited",
            Kind::RowAltered,
            BINDING,
            "UPDATE session_bindings SET key_slug = 'twin'",
            Refused::Binding,
        ),
        ("binding row deleted", Kind::RowMissing, BINDING, "DELETE FROM session_bindings", Refused::Nothing),
    ] {
        let found = problem(kind, seeded.newest(target).await, target);
        edits.push(Edit { what, sql: sql.to_owned(), found, refused });
    }
    edits
}

/// The log itself.
async fn log(seeded: &Seeded) -> Vec<Edit> {
    let event = seeded.newest(ROUTE).await; // in the middle of what is not sealed
    let end = seeded.newest(&seeded.last.name()).await;
    let cut = format!(
        "DELETE FROM audit_events WHERE seq = {end}; UPDATE audit_head SET seq = {end} - 1, \
         hash = (SELECT hash FROM audit_events WHERE seq = {end} - 1)"
    );
    let reordered = format!(
        "UPDATE audit_events SET seq = -1 WHERE seq = {event}; UPDATE audit_events SET seq = {event} WHERE seq = {event} + 1; \
         UPDATE audit_events SET seq = {event} + 1 WHERE seq = -1"
    );
    let replaced = "UPDATE audit_events SET actor = 'nobody' WHERE seq = (SELECT MIN(seq) FROM audit_events)";
    let forged = "INSERT INTO audit_events SELECT 0, hash, event_time, tenant, action, target, actor, on_behalf_of, peer, \
                  request_id, trace_id, details FROM audit_events ORDER BY seq LIMIT 1";
    let newest_but_one = end - 1;
    let last = seeded.last.clone();
    let cut_found = problem(Kind::RowAltered, newest_but_one, &last.name());
    let mut edits =
        vec![Edit { what: "end cut off", sql: cut, found: cut_found, refused: Refused::Key(last, "KEY_ALTERED") }];
    for (what, kind, seq, sql) in [
        ("event deleted", Kind::EventMissing, event, format!("DELETE FROM audit_events WHERE seq = {event}")),
        ("last event deleted", Kind::EventMissing, end, format!("DELETE FROM audit_events WHERE seq = {end}")),
        ("events reordered", Kind::EventAltered, event, reordered),
        ("event edited", Kind::EventAltered, event, format!("UPDATE audit_events SET actor = 'x' WHERE seq = {event}")),
        (
            "hash edited",
            Kind::EventAltered,
            event,
            format!("UPDATE audit_events SET hash = {ZEROS} WHERE seq = {event}"),
        ),
        (
            "hash cut",
            Kind::EventAltered,
            event,
            format!("UPDATE audit_events SET hash = substr(hash, 1, 31) WHERE seq = {event}"),
        ),
        ("head edited", Kind::HeadMismatch, end, format!("UPDATE audit_head SET hash = {ZEROS}")),
        ("event before the first", Kind::EventAltered, 0, forged.to_owned()),
        ("kept event replaced", Kind::SegmentAltered, 1, replaced.to_owned()),
        ("kept event deleted", Kind::SegmentAltered, 1, "DELETE FROM audit_events WHERE seq = 2".to_owned()),
        ("segment edited", Kind::SegmentAltered, 1, format!("UPDATE audit_segments SET file_digest = {ZEROS}")),
        ("segment deleted", Kind::SegmentAltered, 1, "DELETE FROM audit_segments".to_owned()),
    ] {
        edits.push(Edit { what, sql, found: problem(kind, seq, ""), refused: Refused::Nothing });
    }
    edits
}

async fn assert_refused(seeded: &Seeded, refused: &Refused, what: &str) {
    let fleet = &seeded.stage.fleet;
    let acme = WorkspaceId::parse("acme").unwrap();
    match refused {
        Refused::Key(key, wanted) => {
            let tested = fleet.test(&key.name()).await.unwrap_err();
            assert_eq!(reason(&tested), *wanted, "{what}");
            let resolved = fleet.resolve(key.request().unwrap()).await.map(drop).unwrap_err();
            assert_eq!(reason(&resolved), "KEY_UNREADABLE", "{what}");
        }
        Refused::Workspace(id) => {
            let request = GetWorkspaceRequest { name: format!("workspaces/{id}") };
            let shown = fleet.workspaces().get_workspace(request).await.map(drop).unwrap_err();
            assert_eq!(reason(&shown), "WORKSPACE_ALTERED", "{what}");
            let mut resolve = resolve_request(&format!("workspaces/{id}"));
            resolve.provider = "anthropic".into();
            assert!(fleet.resolve(resolve).await.is_err(), "{what}");
        }
        Refused::Route => {
            let agent = AgentId::parse("bot").unwrap();
            let read = seeded.stage.inside().await.store.agent_route(&acme, &agent).await;
            assert!(matches!(read, Err(StoreError::Altered(..))), "{what}: {read:?}");
        }
        Refused::Binding => {
            let session = SessionId::parse("s1").unwrap();
            let read = seeded.stage.inside().await.store.session_binding(&acme, &session).await;
            assert!(matches!(read, Err(StoreError::Altered(..))), "{what}: {read:?}");
        }
        Refused::Nothing => {}
    }
}
