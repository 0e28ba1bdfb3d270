//! A service as a process: started on free ports, found by what it logs.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

const START: Duration = Duration::from_secs(30);

/// A running service. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    addresses: HashMap<String, SocketAddr>,
}

impl Process {
    /// Starts a service on free loopback ports with no environment but `environment`, and waits until it listens.
    ///
    /// # Errors
    /// When it ends before, with what it logged.
    pub fn start(program: &str, arguments: &[&str], environment: &[(String, String)]) -> anyhow::Result<Self> {
        let mut process = Self::spawn(program, arguments, environment)?;
        let deadline = Instant::now() + START;
        loop {
            process.addresses = listening(&process.log());
            if process.addresses.len() == 3 {
                return Ok(process);
            }
            if let Some(status) = process.child.try_wait()? {
                thread::sleep(Duration::from_millis(50)); // the rest of its log
                bail!("{program} ended ({status}):\n{}", process.log());
            }
            if Instant::now() > deadline {
                bail!("{program} does not listen:\n{}", process.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a program without waiting for anything: for those that are to fail.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(program: &str, arguments: &[&str], environment: &[(String, String)]) -> anyhow::Result<Self> {
        let mut child = Command::new(binary(program)?)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| program.to_owned())?;
        let log = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take(), log.clone());
        collect(child.stdout.take(), log.clone());
        Ok(Self { child, log, addresses: HashMap::new() })
    }

    /// Where a listener (`grpc`, `health`, `metrics`) is.
    #[must_use]
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    /// All that it wrote so far, to standard error and output.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// The most memory that it ever had, in KiB (`VmHWM`).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait(&mut self, most: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + most;
        loop {
            if let Some(status) = self.child.try_wait()? {
                thread::sleep(Duration::from_millis(50)); // the rest of its log
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("does not end:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it as `kill -9` does, if it has not ended.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        self.wait(START).map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

fn collect(stream: Option<impl std::io::Read + Send + 'static>, log: Arc<Mutex<String>>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Ok(mut log) = log.lock() {
                log.push_str(&line);
                log.push('\n');
            }
        }
    });
}

fn listening(log: &str) -> HashMap<String, SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines
        .filter(|line| line["message"] == "listening")
        .filter_map(|line| {
            let fields = &line["fields"];
            Some((fields["server"].as_str()?.to_owned(), fields["address"].as_str()?.parse().ok()?))
        })
        .collect()
}

/// The program, built once by whichever test comes first, so that none runs a stale one.
fn binary(program: &str) -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    match folder {
        Ok(folder) => Ok(folder.join(program)),
        Err(error) => bail!("the services do not build: {error}"),
    }
}

fn build() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let packages = ["-p", "claviger-keyvault", "-p", "claviger-routing"];
    let profile: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
    let mut command = Command::new(env!("CARGO"));
    // what cargo tells a test of its own package makes build scripts run anew, and with them half of the tree
    let of_package = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"].iter().any(|prefix| name.starts_with(prefix))
    });
    for name in of_package {
        command.env_remove(name);
    }
    let output = command.current_dir(root).arg("build").args(profile).args(packages).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    // …/target/debug/deps/e2e-…, or …/target/release/bench-store
    let own = std::env::current_exe()?;
    let folder = own.parent().context("no target folder")?;
    Ok(if folder.ends_with("deps") { folder.parent().context("no target folder")? } else { folder }.to_owned())
}
