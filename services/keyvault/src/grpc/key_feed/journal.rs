//! What comes in on a stream. Its journal batches are taken in their order; loads wait for nothing.

use std::convert::Infallible;

use claviger_core::fault::Fault;
use claviger_proto::keyvault::journal_part;
use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::{subscribe_request, subscribe_response};
use claviger_proto::status;
use tokio::sync::oneshot;
use tonic::Status;

use super::{Link, out_of_order, response};

/// What is asked.
#[derive(Debug)]
pub(super) enum Asked {
    /// A tenant.
    Load(kv::LoadTenant),
    /// To take a batch, when its turn comes.
    Journal(kv::JournalBatch, Turn),
    /// Nothing that could be answered: the stream ends so.
    Nothing(Status),
}

/// Gives the batches of a stream their turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: Option<oneshot::Receiver<Infallible>>,
}

/// One batch's turn: it comes when that of the batch before is over, and is over when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    before: Option<oneshot::Receiver<Infallible>>,
    _over: oneshot::Sender<Infallible>,
}

impl Turns {
    pub(super) fn asked(&mut self, request: Result<kv::SubscribeRequest, Status>) -> Asked {
        match request.map(|request| request.message) {
            Ok(Some(subscribe_request::Message::LoadTenant(load))) => Asked::Load(load),
            Ok(Some(subscribe_request::Message::Journal(batch))) => Asked::Journal(batch, self.next()),
            Ok(Some(subscribe_request::Message::Hello(_)) | None) => Asked::Nothing(out_of_order()),
            Err(status) => Asked::Nothing(status),
        }
    }

    fn next(&mut self) -> Turn {
        let (over, is_over) = oneshot::channel();
        Turn { before: self.last.replace(is_over), _over: over }
    }
}

impl Turn {
    async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            let _ = before.await; // nothing is ever sent: it ends with the turn
        }
    }
}

/// Takes a batch when its turn comes. What cannot be taken ends the stream, as the rest could not be either.
pub(super) async fn take(
    link: &Link,
    mut turn: Turn,
    batch: kv::JournalBatch,
) -> Result<kv::SubscribeResponse, Status> {
    turn.comes().await;
    let offset = taken(link, batch).await.map_err(|fault| status::of(&fault))?;
    Ok(response(subscribe_response::Message::JournalAck(kv::JournalAck { offset })))
}

async fn taken(link: &Link, batch: kv::JournalBatch) -> Result<u64, Fault> {
    let (journals, replica, part) = (link.journals.clone(), link.replica, journal_part(batch)?);
    // by itself: whoever does not read our answers holds up its own stream, and no transaction
    tokio::spawn(async move { journals.take(replica, part).await }).await.unwrap_or_else(|_| Err(Fault::internal()))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_turn_comes_when_the_one_before_is_over_and_loads_are_none() {
        let ask = |message| Ok(kv::SubscribeRequest { message: Some(message) });
        let journal = || ask(subscribe_request::Message::Journal(kv::JournalBatch::default()));
        let mut turns = Turns::default();
        let mut turn = |request| match turns.asked(request) {
            Asked::Journal(_, turn) => Some(turn),
            Asked::Load(_) | Asked::Nothing(_) => None,
        };
        let (first, load) = (turn(journal()), turn(ask(subscribe_request::Message::LoadTenant(Default::default()))));
        let (Some(mut first), Some(mut second), Some(mut third)) = (first, turn(journal()), turn(journal())) else {
            unreachable!("batches have turns")
        };
        assert!(load.is_none());
        assert!(first.comes().now_or_never().is_some());
        let mut waits = Box::pin(second.comes());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waits.now_or_never().is_some());
        let mut waits = Box::pin(third.comes());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(second);
        assert!(waits.now_or_never().is_some());
    }
}
