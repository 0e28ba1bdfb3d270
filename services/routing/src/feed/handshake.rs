//! The beginning of a subscription: hello, welcome, and the session cipher that comes of them.

use std::sync::Arc;

use claviger_core::position::session_binding;
use claviger_crypto::{Handshake, ResolutionKey, SessionOpener};
use claviger_proto::keyvault_v1::{Hello, SubscribeRequest, SubscribeResponse, subscribe_request, subscribe_response};
use uuid::Uuid;

use super::LinkError;

/// A subscription whose cipher is agreed.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) epoch: Uuid,
    pub(super) opener: Arc<SessionOpener>,
    pub(super) resolution_key: Arc<ResolutionKey>,
    pub(super) catalog_digest: String,
}

/// Our half: what to send, and what to keep until the welcome.
pub(super) fn hello(replica: Uuid) -> Result<(SubscribeRequest, Handshake), LinkError> {
    let handshake = Handshake::new().map_err(|_| LinkError::Handshake)?;
    let hello = Hello { replica: replica.to_string(), public_key: handshake.public_key().to_vec() };
    Ok((SubscribeRequest { message: Some(subscribe_request::Message::Hello(hello)) }, handshake))
}

/// The vault's half.
pub(super) fn welcome(first: Option<SubscribeResponse>, handshake: Handshake) -> Result<Session, LinkError> {
    let Some(subscribe_response::Message::Welcome(welcome)) = first.and_then(|response| response.message) else {
        return Err(LinkError::Handshake);
    };
    let session = Uuid::try_parse(&welcome.session).map_err(|_| LinkError::Handshake)?;
    let epoch = Uuid::try_parse(&welcome.epoch).map_err(|_| LinkError::Handshake)?;
    let opener = handshake
        .accept(&welcome.encapsulated_key, &session_binding(session, epoch))
        .map_err(|_| LinkError::Handshake)?;
    let resolution_key = opener.open_resolution_key(&welcome.resolution_key).map_err(|_| LinkError::Handshake)?;
    let (opener, resolution_key) = (Arc::new(opener), Arc::new(resolution_key));
    Ok(Session { epoch, opener, resolution_key, catalog_digest: welcome.catalog_digest })
}
