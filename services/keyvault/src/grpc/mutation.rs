//! What every mutation's handler does: the caller's origin, the request's id, the answer or the one before.

use std::sync::Arc;

use claviger_core::audit::Origin;
use claviger_core::fault::Fault;
use claviger_core::position::Position;
use claviger_proto::keyvault::{Wire, decoded, encoded, request_id};
use tonic::{Request, Response, Status};

use super::{answer, origin};
use crate::usecase::custody::Custody;
use crate::usecase::{Answer, Call};

/// Runs mutations, each once for one request id.
#[derive(Debug, Clone)]
pub struct Mutations {
    custody: Arc<Custody>,
}

impl Mutations {
    /// Over the keys that requests are remembered by.
    #[must_use]
    pub fn new(custody: Arc<Custody>) -> Self {
        Self { custody }
    }

    /// Runs one. `id` finds the request's id; `convert` makes the answer of what the call made.
    ///
    /// # Errors
    /// What `run` refuses; `INVALID_FIELD`, `REQUEST_ID_REUSED`.
    pub async fn run<Q, T, M, F>(
        &self,
        method: &'static str,
        request: Request<Q>,
        id: fn(&Q) -> &str,
        convert: impl Fn(&T, Position) -> M + Clone + Send + Sync + 'static,
        run: impl FnOnce(Q, Call<T>) -> F,
    ) -> Result<Response<M>, Status>
    where
        Q: Wire,
        T: Send + 'static,
        M: Wire,
        F: Future<Output = Result<Answer<T>, Fault>>,
    {
        let call =
            origin(&request).and_then(|origin| self.call(method, request.get_ref(), id, origin, convert.clone()));
        let result = match call {
            Ok(call) => run(request.into_inner(), call).await,
            Err(fault) => Err(fault),
        };
        answer(match result {
            Ok(Answer::New(value, at)) => Ok(convert(&value, at)),
            Ok(Answer::Again(first)) => decoded(&first),
            Err(fault) => Err(fault),
        })
    }

    fn call<Q: Wire, T: Send + 'static, M: Wire>(
        &self,
        method: &'static str,
        request: &Q,
        id: fn(&Q) -> &str,
        origin: Origin,
        convert: impl Fn(&T, Position) -> M + Send + Sync + 'static,
    ) -> Result<Call<T>, Fault> {
        let Some(id) = request_id(id(request))? else { return Ok(Call::new(origin)) };
        let once = self.custody.once(&origin, id, method, &encoded(request));
        Ok(Call::once(origin, once, move |value, at| encoded(&convert(value, at))))
    }
}
