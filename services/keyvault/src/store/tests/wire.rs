//! A PostgreSQL that is reached over a line that fails: frozen, where connections stay open and nothing comes from them any
//! more, or cut just before an answer arrives.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use claviger_core::reason::Reason;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};

use super::alone::alone;
use super::batches::store_and;
use super::*;

/// Stands before the server on a socket of its own, for as long as it is not dropped.
struct Proxy {
    location: Location,
    /// Cancelled, it freezes the connections made since it was put there.
    freeze: Arc<ArcSwap<CancellationToken>>,
    /// Cancelled, what is frozen goes on.
    thaw: CancellationToken,
    /// Set, the next connection that adds rows is cut before it is told so.
    cut: Arc<AtomicBool>,
    _folder: TempDir,
}

impl Proxy {
    fn before(location: Location) -> Self {
        let Location::Postgres(server) = location else { unreachable!("PostgreSQL's test") };
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(folder.path(), server.get_port())).unwrap();
        let location = Location::Postgres(Box::new(server.clone().socket(folder.path())));
        let freeze = Arc::new(ArcSwap::from_pointee(CancellationToken::new()));
        let cut = Arc::<AtomicBool>::default();
        let thaw = CancellationToken::new();
        let (tokens, thaws, cuts) = (freeze.clone(), thaw.clone(), cut.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if tokens.load().is_cancelled() {
                    continue; // none is let through
                }
                let line =
                    Line { frozen: CancellationToken::clone(&tokens.load()), thawed: thaws.clone(), cut: cuts.clone() };
                match server.get_socket().map(|folder| socket(folder, server.get_port())) {
                    Some(socket) => {
                        drop(tokio::spawn(carry(client, UnixStream::connect(socket), line)));
                    }
                    None => {
                        let address = (server.get_host().to_owned(), server.get_port());
                        drop(tokio::spawn(carry(client, TcpStream::connect(address), line)));
                    }
                }
            }
        });
        Self { location, freeze, thaw, cut, _folder: folder }
    }

    fn freeze(&self) {
        self.freeze.swap(Arc::default()).cancel();
    }

    /// Nobody else gets through either.
    fn freeze_all(&self) {
        self.freeze.load().cancel();
    }

    /// Whoever connects now gets through.
    fn admit(&self) {
        self.freeze.swap(Arc::default());
    }

    /// A store over it.
    async fn store(&self) -> (Store, Writer) {
        let opened = Database::open(&self.location, Prepared::ByItself, |_| Ok::<_, StoreError>(())).await;
        opened.unwrap().into_store(binding_key())
    }
}

fn socket(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

/// What happens to a connection.
struct Line {
    frozen: CancellationToken,
    thawed: CancellationToken,
    cut: Arc<AtomicBool>,
}

async fn carry<S>(client: UnixStream, server: impl Future<Output = std::io::Result<S>>, line: Line)
where
    S: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server.await.unwrap());
    let there = tokio::io::copy(&mut from_client, &mut to_server);
    let back = back(&mut from_server, &mut to_client, &line.cut);
    let mut both = std::pin::pin!(async {
        tokio::select! { _ = there => (), () = back => () }
    });
    if line.frozen.run_until_cancelled(&mut both).await.is_none() {
        line.thawed.cancelled().await; // both stay open
        both.await;
    }
}

/// Carries answers, up to the one that is cut.
async fn back(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), cut: &AtomicBool) {
    const ADDED: &[u8] = b"INSERT 0 1\0";
    let mut bytes = [0; 8_192];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let answer = &bytes[..length];
        let told = answer.windows(ADDED.len()).any(|part| part == ADDED);
        if (told && cut.swap(false, Ordering::Relaxed)) || to.write_all(answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_gone_without_a_word_is_connected_to_anew() {
    let place = Place::postgres().await;
    let proxy = Proxy::before(place.location());
    let (store, mut writer) = proxy.store().await;
    writer.patience = Duration::from_millis(500);
    let _writer = spawn(writer);
    let mut there = 0;
    for round in 0..4 {
        tokio::time::sleep(Duration::from_millis(100)).await; // what was used is back in the pool
        proxy.freeze();
        let mut attempt = round; // a transaction is frozen first, or what is done without
        while add(&store, attempt % 2 == 0).await {
            (attempt, there) = (attempt + 1, there + 1);
            assert!(attempt < 10, "nothing was frozen");
        }
        assert!(add(&store, false).await && add(&store, true).await, "round {round}");
        there += 2;
    }
    let Place::Postgres(schema) = place else { unreachable!() };
    assert_eq!(schema.number("SELECT count(*) FROM provider_keys").await.unwrap(), there);
}

/// Whether a key was added, by a transaction or without.
async fn add(store: &Store, by_transaction: bool) -> bool {
    let slug = format!("key-{}", Uuid::now_v7().simple());
    let done = if by_transaction {
        store_and(store, &slug, || Ok(())).await.unwrap().map(drop)
    } else {
        alone(store, &slug).await.map(|(done, _)| assert!(done))
    };
    done.inspect_err(|fault| assert_eq!(fault.reason, Reason::StorageUnavailable)).is_ok()
}

/// The connection breaks after a key was added without a transaction, before the answer: the log tells, nobody is told
/// otherwise, and it is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_that_is_lost_is_found_in_the_log() {
    let place = Place::postgres().await;
    let proxy = Proxy::before(place.location());
    let (store, writer) = proxy.store().await;
    let told = Arc::<Mutex<Vec<(i64, i64)>>>::default();
    let tells = told.clone();
    let _writer = spawn(writer.telling(move |before, head| tells.lock().unwrap().push((before, head.seq))));
    assert_eq!(alone(&store, "one").await.unwrap(), (true, 1));
    proxy.cut.store(true, Ordering::Relaxed);
    assert_eq!(alone(&store, "two").await.unwrap(), (true, 2));
    assert!(!proxy.cut.load(Ordering::Relaxed), "nothing was cut");
    assert_eq!(alone(&store, "three").await.unwrap(), (true, 3));
    assert_eq!(*told.lock().unwrap(), [(0, 1), (1, 2), (2, 3)]);
    let Place::Postgres(schema) = place else { unreachable!() };
    assert_eq!(schema.number("SELECT count(*) FROM provider_keys").await.unwrap(), 3);
}

/// A line that goes on after a write was given up carries the beginning of a transaction that nobody knows of: what is
/// written alone on that connection would not last.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_after_a_freeze_lasts() {
    let place = Place::postgres().await;
    let proxy = Proxy::before(place.location());
    let (store, mut writer) = proxy.store().await;
    writer.patience = Duration::from_millis(500);
    let writer = spawn(writer);
    assert_eq!(alone(&store, "one").await.unwrap(), (true, 1));
    tokio::time::sleep(Duration::from_millis(100)).await; // the connection is back in the pool
    proxy.freeze_all();
    let given_up = store_and(&store, "lost", || Ok(())).await.unwrap();
    assert_eq!(given_up.unwrap_err().reason, Reason::StorageUnavailable);
    proxy.admit();
    assert_eq!(
        alone(&store, "two").await.unwrap(),
        (true, 2),
        "what hangs was given up, though nothing could replace it yet"
    );
    proxy.thaw.cancel();
    for (slug, seq) in [("three", 3), ("four", 4)] {
        assert_eq!(alone(&store, slug).await.unwrap(), (true, seq));
        // the pool's connections take turns, and so do their parts then
        let looks = store
            .write_with(|access| Box::pin(async { Ok(access.look(&owner("workspaces/acme"), b"").await?.is_some()) }));
        assert!(looks.await.unwrap().0);
    }
    writer.abort();
    let Place::Postgres(schema) = place else { unreachable!() };
    assert_eq!(schema.number("SELECT count(*) FROM provider_keys").await.unwrap(), 4);
}
