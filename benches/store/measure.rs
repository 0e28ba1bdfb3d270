//! Clients that do one thing over and over for a while.

use std::time::{Duration, Instant};

use futures::future::try_join_all;

/// What clients got done.
#[derive(Debug)]
pub(crate) struct Run {
    took: Duration,
    /// How long each call took.
    pub(crate) times: Vec<Duration>,
}

impl Run {
    /// Calls a second.
    pub(crate) fn rate(&self) -> f64 {
        self.times.iter().map(|_| 1.0).sum::<f64>() / self.took.as_secs_f64()
    }
}

/// Sets clients up and lets them work for a time.
pub(crate) async fn run<C, F>(
    clients: usize,
    span: Duration,
    set_up: impl Fn(usize) -> F,
    job: impl AsyncFn(&mut C) -> anyhow::Result<()>,
) -> anyhow::Result<Run>
where
    F: Future<Output = anyhow::Result<C>>,
{
    let mut ready = try_join_all((0..clients).map(set_up)).await?;
    let begun = Instant::now();
    let work = ready.iter_mut().map(|client| async {
        let mut times = Vec::new();
        while begun.elapsed() < span {
            let call = Instant::now();
            job(client).await?;
            times.push(call.elapsed());
        }
        Ok::<_, anyhow::Error>(times)
    });
    let times = try_join_all(work).await?.concat();
    Ok(Run { took: begun.elapsed(), times })
}

/// The time that a part of the calls did not exceed, of sorted times.
pub(crate) fn quantile(sorted: &[Duration], part: f64) -> Option<Duration> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index).copied()
}
