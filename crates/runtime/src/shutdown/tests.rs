#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Mutex,
};

use rustix::process::{Pid, Signal as Kill, kill_process};

use super::*;
use crate::{
    server::{self, Server, Transport},
    testing::{config, handler},
};

type Steps = Arc<Mutex<Vec<&'static str>>>;

async fn run(supervisor: Supervisor) -> Result<(), Error> {
    let run = supervisor.run(Health::new(&[]).await, Guard::none());
    tokio::time::timeout(Duration::from_secs(20), run).await.unwrap()
}

#[tokio::test]
async fn servers_end_before_background_tasks_are_told_to() {
    let (supervisor, steps) = (Supervisor::new(), Steps::default());
    let step = |name| {
        let steps = steps.clone();
        move || steps.lock().unwrap().push(name)
    };
    let (server, background) = (step("server"), step("background"));
    let (servers, backgrounds) = (supervisor.servers(), supervisor.background());
    supervisor.spawn_server("server", async move {
        servers.cancelled().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        server();
        Ok::<_, Error>(())
    });
    supervisor.spawn("background", async move {
        backgrounds.cancelled().await;
        background();
        Ok::<_, Error>(())
    });
    supervisor.spawn("short", async { Ok::<_, Error>(()) });
    supervisor.stop();
    run(supervisor).await.unwrap();
    assert_eq!(*steps.lock().unwrap(), ["server", "background"]);
}

#[tokio::test]
async fn a_broken_task_stops_the_process() {
    let failing = Supervisor::new();
    failing.spawn("failing", async { Err::<(), _>("no disk") });
    assert_eq!(run(failing).await.unwrap_err().to_string(), "failing stopped");

    let panicking = Supervisor::new();
    panicking.spawn("panicking", async { if true { panic!("hunter2") } else { Ok::<(), Error>(()) } });
    assert_eq!(run(panicking).await.unwrap_err().to_string(), "panicking stopped");

    let ending = Supervisor::new();
    ending.spawn_server("ending", async { Ok::<(), Error>(()) });
    assert_eq!(run(ending).await.unwrap_err().to_string(), "ending stopped");
}

#[tokio::test]
async fn a_task_that_does_not_listen_is_cut() {
    let supervisor = Supervisor::new();
    supervisor.spawn("deaf", std::future::pending::<Result<(), Error>>());
    supervisor.stop();
    run(supervisor).await.unwrap();
}

/// The process that the next test signals.
#[test]
#[ignore = "run by the next test"]
fn child() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let result = runtime.block_on(async {
        let supervisor = Supervisor::new();
        let server = Server::bind(config(Transport::Plaintext)).await.unwrap();
        let served = server.serve(handler().await, supervisor.servers());
        supervisor.spawn_server("grpc", async { served.await.map(|_| ()).map_err(|error: server::Error| error) });
        let running = tokio::spawn(supervisor.run(Health::new(&[]).await, Guard::none()));
        tokio::time::sleep(Duration::from_millis(200)).await;
        eprintln!("\nready to be signalled");
        running.await.unwrap()
    });
    result.unwrap();
}

#[test]
fn sigterm_and_sigint_end_the_process_well() {
    for signal in [Kill::TERM, Kill::INT] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "shutdown::tests::child", "--ignored", "--nocapture"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("ready to be signalled")));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(child.wait().unwrap().success(), "{signal:?}");
    }
}
