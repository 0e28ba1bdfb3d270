//! What a create costs in the vault, against the bare transaction that it ends in. `make bench-store` runs it.
//!
//! Both sides are measured in turn, round by round, on databases of the same schema on the same disk. What counts is the
//! ratio of their rates: the median over the rounds, with the worst and the best.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a table on the terminal is what it is for")]

mod bare;
mod measure;
mod service;

use std::time::Duration;

use anyhow::Context;
use bare::Bare;
use measure::{Run, quantile, run};
use service::Service;

const CLIENTS: [usize; 2] = [1, 16];
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
/// Tenants that the keys are spread over, so that each has as few as most have.
const WORKSPACES: u64 = 4_096;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
}

// one thread, so that the clients leave the other processors to what is measured
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    println!("{ROUNDS} rounds of {ROUND:?} on each side; rates in creates a second, times in milliseconds\n");
    println!("| database | clients | bare/s | vault/s | ratio (worst–best) | bare p50, p99 | vault p50, p99 |");
    println!("|---|---|---|---|---|---|---|");
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let bare = Bare::new(kind).await?;
        let service = Service::start(kind).await?;
        service.fill().await?;
        for clients in CLIENTS {
            println!("{}", row(kind, clients, &rounds(&bare, &service, clients).await?)?);
        }
    }
    Ok(())
}

/// Each round's two sides; which goes first alternates.
async fn rounds(bare: &Bare, service: &Service, clients: usize) -> anyhow::Result<Vec<(Run, Run)>> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 1..=ROUNDS {
        eprint!("\rround {round} of {ROUNDS} with {clients} clients ");
        let bare_side =
            || run(clients, ROUND, |_| async { Ok(bare.clone()) }, async |bare: &mut Bare| bare.create().await);
        let vault_side =
            || run(clients, ROUND, |_| service.client(), async |client: &mut service::Client| client.create().await);
        rounds.push(if round % 2 == 0 {
            let vault = vault_side().await?;
            (bare_side().await?, vault)
        } else {
            (bare_side().await?, vault_side().await?)
        });
    }
    eprint!("\r{:40}\r", "");
    Ok(rounds)
}

fn row(kind: Kind, clients: usize, rounds: &[(Run, Run)]) -> anyhow::Result<String> {
    let sorted = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of
    };
    let ratios = sorted(rounds.iter().map(|(bare, vault)| vault.rate() / bare.rate()).collect());
    let rates = |side: fn(&(Run, Run)) -> &Run| sorted(rounds.iter().map(|round| side(round).rate()).collect());
    let times = |side: fn(&(Run, Run)) -> &Run| {
        let mut all: Vec<Duration> = rounds.iter().flat_map(|round| side(round).times.clone()).collect();
        all.sort();
        let at = |part| quantile(&all, part).map(|time| time.as_secs_f64() * 1e3).context("nothing was done");
        Ok::<_, anyhow::Error>(format!("{:.2}, {:.2}", at(0.5)?, at(0.99)?))
    };
    let median = |of: &[f64]| of[of.len() / 2];
    Ok(format!(
        "| {kind:?} | {clients} | {:.0} | {:.0} | {:.2} ({:.2}–{:.2}) | {} | {} |",
        median(&rates(|round| &round.0)),
        median(&rates(|round| &round.1)),
        median(&ratios),
        ratios[0],
        ratios[ratios.len() - 1],
        times(|round| &round.0)?,
        times(|round| &round.1)?,
    ))
}
