//! A PostgreSQL that is gone without a word: its connections stay open, and nothing comes from them any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use claviger_core::reason::Reason;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};

use super::batches::store_and;
use super::*;

/// Stands before the server on a socket of its own, for as long as it is not dropped.
struct Proxy {
    location: Location,
    /// Cancelled, it freezes the connections made since it was put there.
    freeze: Arc<ArcSwap<CancellationToken>>,
    _folder: TempDir,
}

impl Proxy {
    fn before(location: Location) -> Self {
        let Location::Postgres(server) = location else { unreachable!("PostgreSQL's test") };
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(folder.path(), server.get_port())).unwrap();
        let location = Location::Postgres(Box::new(server.clone().socket(folder.path())));
        let freeze = Arc::new(ArcSwap::default());
        let tokens = freeze.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let frozen = CancellationToken::clone(&tokens.load());
                match server.get_socket().map(|folder| socket(folder, server.get_port())) {
                    Some(socket) => drop(tokio::spawn(carry(client, UnixStream::connect(socket), frozen))),
                    None => {
                        let address = (server.get_host().to_owned(), server.get_port());
                        drop(tokio::spawn(carry(client, TcpStream::connect(address), frozen)));
                    }
                }
            }
        });
        Self { location, freeze, _folder: folder }
    }

    fn freeze(&self) {
        self.freeze.swap(Arc::default()).cancel();
    }
}

fn socket(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

async fn carry<S>(mut client: UnixStream, server: impl Future<Output = std::io::Result<S>>, frozen: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut server = server.await.unwrap();
    if frozen.run_until_cancelled(copy_bidirectional(&mut client, &mut server)).await.is_none() {
        std::future::pending::<()>().await; // both stay open
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_gone_without_a_word_is_connected_to_anew() {
    let place = Place::postgres().await;
    let proxy = Proxy::before(place.location());
    let opened =
        Database::open(&proxy.location, Prepared::ByItself, |_: &[MasterKeyRow]| Ok::<_, StoreError>(())).await;
    let (store, mut writer) = opened.unwrap().into_store(binding_key());
    writer.patience = Duration::from_millis(500);
    let _writer = spawn(writer);
    let mut lost = 0;
    // more often than the writer's pool has connections
    for (perhaps, surely) in [("one", "two"), ("three", "four"), ("five", "six"), ("seven", "eight")] {
        tokio::time::sleep(Duration::from_millis(100)).await; // the connection is back in the pool, or it opens another
        proxy.freeze();
        if let Err(fault) = store_and(&store, perhaps, || Ok(())).await.unwrap() {
            assert_eq!(fault.reason, Reason::StorageUnavailable, "{perhaps}");
            lost += 1;
        }
        store_and(&store, surely, || Ok(())).await.unwrap().unwrap();
    }
    assert!(lost > 0, "nothing was frozen");
    let Place::Postgres(schema) = place else { unreachable!() };
    assert_eq!(schema.number("SELECT count(*) FROM provider_keys").await.unwrap(), 8 - lost);
}
