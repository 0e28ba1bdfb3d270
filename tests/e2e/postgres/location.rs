//! The database's URL holds a password, which is shown nowhere.

use claviger_tests::fleet::{database_environment, vault_environment};

use crate::startup::place::{refuse, run};

const PASSWORD: &str = "canary-3f9c0d17";

/// No server listens on port 1; a URL that is none; one that another machine would be reached by in plaintext.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_in_no_log_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("catalog.toml"), "").unwrap();
    for (rest, line) in [
        ("127.0.0.1:1/keyvault", "the database failed"),
        ("127.0.0.1:1x/keyvault", "CLAVIGER_DATABASE_URL: must be postgres://"),
        ("127.0.0.1:1/keyvault?sslmode=canary-3f9c0d17", "CLAVIGER_DATABASE_URL: must be postgres://"),
    ] {
        let url = format!("postgres://keyvault:{PASSWORD}@{rest}");
        let environment = database_environment(folder.path(), &url).unwrap();
        let served = refuse(&[vault_environment(folder.path()), environment.clone()].concat());
        let migrated = run(&["migrate", "--check"], &environment[..1]);
        let flagged = run(&["migrate", "--database-url", &url], &[]);
        for refusal in [served, migrated, flagged] {
            refusal.assert_line(line);
            assert!(!refusal.log.contains("canary"), "{}", refusal.log);
        }
    }
    let remote = format!("postgres://keyvault:{PASSWORD}@db.example/keyvault?sslmode=require");
    let refusal = run(&["migrate", "--database-url", &remote], &[]);
    refusal.assert_line("sslmode=verify-full");
    assert!(!refusal.log.contains("canary"), "{}", refusal.log);
}
