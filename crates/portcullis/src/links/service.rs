use std::fmt;
use std::mem;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use portcullis_core::Verify;
use tower_service::Service;

use super::ResponseFuture;
use super::confirmation::Confirmation;
use super::future::{After, Waiting};
use super::link::Link;
use super::porter::Porter;
use crate::upgrade::is_upgrade;

/// The service that [`PersistTokenLayer`](super::PersistTokenLayer) makes. See the
/// [module docs](super).
pub struct PersistToken<S, V> {
    inner: S,
    porter: Porter<V>,
}

impl<S, V> PersistToken<S, V> {
    pub(super) fn new(inner: S, porter: Porter<V>) -> Self {
        Self { inner, porter }
    }
}

impl<S, V, B, ResBody> Service<Request<B>> for PersistToken<S, V>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    V: Verify,
    B: Body + Send + 'static,
    ResBody: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, V>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (porter, settings) = (&self.porter, &self.porter.settings);
        if is_upgrade(&request) || !settings.serves_host(&request) {
            return ResponseFuture::passing(self.inner.call(request), After::Nothing);
        }
        if Confirmation::is(&request, settings) {
            let answer = Confirmation::of(request, settings);
            return ResponseFuture::answering(Box::pin(porter.clone().confirm(answer)));
        }

        if let Some(link) = Link::of(&request, settings) {
            match porter.answer_now(&link) {
                Some(Some(answer)) => return ResponseFuture::answered(answer.map(ResBody::from)),
                Some(None) => {}
                None => {
                    let decision = Box::pin(porter.clone().answer(link));
                    let after = After::of(&request, porter);
                    // The service that is ready goes with the future; a fresh clone stays behind.
                    let clone = self.inner.clone();
                    let inner = mem::replace(&mut self.inner, clone);
                    let waiting = Waiting {
                        inner,
                        request,
                        after,
                    };
                    return ResponseFuture::deciding(decision, waiting);
                }
            }
        }
        let after = After::of(&request, porter);
        ResponseFuture::passing(self.inner.call(request), after)
    }
}

impl<S: Clone, V> Clone for PersistToken<S, V> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            porter: self.porter.clone(),
        }
    }
}

impl<S: fmt::Debug, V> fmt::Debug for PersistToken<S, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistToken")
            .field("inner", &self.inner)
            .field("porter", &self.porter)
            .finish()
    }
}
