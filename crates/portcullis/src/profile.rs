//! What one ecosystem does, as plain data.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use crate::carrier::{
    AuthorizationCarrier, Carrier, CarrierConfig, QueryCarrier, SubprotocolCarrier,
    SubprotocolEncoding,
};
use crate::close::CloseCodes;
use crate::refusal::RefusalKind;

/// The carriers, the policy for subprotocols and the statuses of refusals of one ecosystem.
///
/// A profile is data: it can be printed, compared with the standard it follows, and changed.
///
/// ```
/// use portcullis::{carrier::{AuthorizationCarrier, CookieCarrier}, Profile};
///
/// // What an existing ecosystem expects …
/// let jupyter = Profile::jupyter();
/// // … or exactly the carriers you name.
/// let mine = Profile::new("mine").carrier(AuthorizationCarrier::bearer()).carrier(CookieCarrier::named("session"));
/// ```
///
/// | profile | carriers | refuses with |
/// |---|---|---|
/// | [`default`](Profile::default) | `Bearer`, `v1.bearer.<base64url>` | RFC 6750 |
/// | [`jupyter`](Profile::jupyter) | `Bearer` and `token`, `v1.token.websocket.jupyter.org.<…>`, `?token=` | 403 |
/// | [`jupyter().compat()`](Profile::compat) | the same, read as Jupyter Server reads them | 403 |
/// | [`kubernetes`](Profile::kubernetes) | `Bearer`, `base64url.bearer.authorization.k8s.io.<…>` | 401 |
/// | [`phoenix`](Profile::phoenix) | `base64url.bearer.phx.<…>` | 403 |
#[derive(Clone, Debug)]
pub struct Profile {
    name: Cow<'static, str>,
    readers: Arc<[CarrierConfig]>,
    statuses: Arc<[StatusRule]>,
    codes: CloseCodes,
    pub(crate) precedence: Precedence,
    pub(crate) same_origin: SameOrigin,
}

impl Profile {
    /// A profile without carriers: nobody gets in before you name one.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            readers: Arc::default(),
            statuses: Arc::default(),
            codes: CloseCodes::registered(),
            precedence: Precedence::OneCredential,
            same_origin: SameOrigin::Exact,
        }
    }

    /// Jupyter: what its clients send today, and the subprotocol of JEP 121.
    ///
    /// Reads `Authorization: Bearer` and `token`, the subprotocol
    /// `v1.token.websocket.jupyter.org.<percent-encoded token>` with its marker
    /// `v1.token.websocket.jupyter.org`, and `?token=`. The cookie needs a key, so it is added with
    /// [`carrier`](Self::carrier).
    ///
    /// Refuses with 403 where Jupyter Server and the JEP do, and more than they do: a bad token
    /// beside a good cookie, two different tokens, a token that is the only subprotocol offered.
    pub fn jupyter() -> Self {
        use RefusalKind as Kind;

        let subprotocol = || {
            SubprotocolCarrier::prefixed(
                "v1.token.websocket.jupyter.org.",
                SubprotocolEncoding::Percent,
            )
            .marker("v1.token.websocket.jupyter.org")
        };
        Self::new("jupyter")
            .carrier(QueryCarrier::named("token"))
            .carrier(AuthorizationCarrier::jupyter())
            .carrier(subprotocol())
            .status(Kind::MissingCredential, StatusCode::FORBIDDEN)
            .status(Kind::InvalidCredential, StatusCode::FORBIDDEN)
            .status(Kind::ExpiredCredential, StatusCode::FORBIDDEN)
            .status(Kind::UnsupportedScheme, StatusCode::FORBIDDEN)
            .status(Kind::ConflictingCredentials, StatusCode::FORBIDDEN)
            .status(Kind::UnknownHost, StatusCode::FORBIDDEN)
            // JEP 121: a token that is rejected MUST be a 403, whatever is wrong with it.
            .status_for_carrier(
                Kind::MalformedCredential,
                Carrier::Subprotocol,
                StatusCode::FORBIDDEN,
            )
            .status_for_carrier(
                Kind::MalformedCredential,
                Carrier::Authorization,
                StatusCode::FORBIDDEN,
            )
    }

    /// Reads and decides as `jupyter_server` 2.21.1 does, for servers that must equal it.
    ///
    /// * The query wins over the header, and both over the subprotocol, which must agree.
    /// * Of several `?token=` the last counts. Of several subprotocol tokens the first does.
    /// * A bad token in the query or the header is rescued by a good cookie.
    /// * A token may be the only subprotocol offered; then nothing is echoed.
    /// * A cookie without an `Origin` passes, and the scheme of the `Origin` is not looked at.
    ///
    /// What JEP 121 demands holds all the same: a rejected token of the subprotocol is a 403, and
    /// nothing rescues it.
    ///
    /// # Security
    ///
    /// The rescue gives a page of somebody else a second try with the browser's cookie, if its
    /// `Origin` is allowed. Take the strict profile unless a client of yours needs this one.
    #[must_use]
    pub fn compat(mut self) -> Self {
        self.name = Cow::Owned(format!("{}-compat", self.name));
        self.precedence = Precedence::FirstWins;
        self.same_origin = SameOrigin::Lenient;
        self.readers = self
            .readers
            .iter()
            .cloned()
            .map(|reader| match reader {
                CarrierConfig::Query(query) => query.forgiving().into(),
                CarrierConfig::Subprotocol(entry) => entry.first_wins().allow_alone().into(),
                other => other,
            })
            .collect();
        self
    }

    /// Kubernetes' API server: `Authorization: Bearer`, and the subprotocol
    /// `base64url.bearer.authorization.k8s.io.<base64url>` beside another one.
    ///
    /// Refuses with 401, also what is malformed, as the API server does.
    pub fn kubernetes() -> Self {
        let prefix = "base64url.bearer.authorization.k8s.io.";
        let subprotocol = SubprotocolCarrier::prefixed(prefix, SubprotocolEncoding::Base64Url);
        Self::new("kubernetes")
            .carrier(AuthorizationCarrier::bearer())
            .carrier(subprotocol.ignore_empty())
            .status(RefusalKind::MalformedCredential, StatusCode::UNAUTHORIZED)
            .status(
                RefusalKind::ConflictingCredentials,
                StatusCode::UNAUTHORIZED,
            )
            .status(RefusalKind::MissingProtocol, StatusCode::UNAUTHORIZED)
    }

    /// Phoenix 1.8 sockets with `authToken`: the subprotocol `base64url.bearer.phx.<base64>`, and
    /// `phoenix` as its marker.
    ///
    /// Phoenix overlooks two tokens; this refuses them.
    pub fn phoenix() -> Self {
        let subprotocol = SubprotocolCarrier::prefixed(
            "base64url.bearer.phx.",
            SubprotocolEncoding::Base64Unpadded,
        );
        Self::new("phoenix")
            .carrier(subprotocol.marker("phoenix").allow_alone())
            .close_codes(CloseCodes::phoenix())
            .status(RefusalKind::MissingCredential, StatusCode::FORBIDDEN)
            .status(RefusalKind::InvalidCredential, StatusCode::FORBIDDEN)
            .status(RefusalKind::ExpiredCredential, StatusCode::FORBIDDEN)
    }

    /// Adds a carrier. One of the same kind that was there before stays; a second reader of the
    /// `Authorization` header is merged with the first, since a request has one such header.
    #[must_use]
    pub fn carrier(mut self, reader: impl Into<CarrierConfig>) -> Self {
        let mut added = Some(reader.into());
        let merge = |reader: CarrierConfig| match (reader, &added) {
            (CarrierConfig::Authorization(first), Some(CarrierConfig::Authorization(second))) => {
                let merged = first.merged_with(second);
                added = None;
                CarrierConfig::Authorization(merged)
            }
            (reader, _) => reader,
        };
        let mut readers: Vec<_> = self.readers.iter().cloned().map(merge).collect();
        readers.extend(added);
        self.readers = readers.into();
        self
    }

    /// Answers refusals of this kind with `status`.
    ///
    /// A status that would tell a client it was let in (1xx, 2xx) is not used.
    #[must_use]
    pub fn status(self, kind: RefusalKind, status: StatusCode) -> Self {
        self.with_rule(StatusRule {
            kind,
            carrier: None,
            status,
        })
    }

    /// The same, for one carrier.
    #[must_use]
    pub fn status_for_carrier(
        self,
        kind: RefusalKind,
        carrier: Carrier,
        status: StatusCode,
    ) -> Self {
        self.with_rule(StatusRule {
            kind,
            carrier: Some(carrier),
            status,
        })
    }

    /// Closes the sockets that it admits with these codes; [`CloseCodes::registered`] unless set.
    ///
    /// # Panics
    ///
    /// If no close frame may bear one of them; see [`CloseFrame::new`](crate::CloseFrame::new).
    #[must_use]
    pub fn close_codes(mut self, codes: CloseCodes) -> Self {
        codes.assert_sendable();
        self.codes = codes;
        self
    }

    /// Its close codes.
    pub fn codes(&self) -> CloseCodes {
        self.codes
    }

    /// Its name, for logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its carriers, in the order they are read in.
    pub fn carriers(&self) -> &[CarrierConfig] {
        &self.readers
    }

    /// The status for a refusal of this kind. The rule that was added last decides.
    pub(crate) fn status_for(&self, kind: RefusalKind, carrier: Option<Carrier>) -> StatusCode {
        let fits = |rule: &&StatusRule| {
            rule.kind == kind && (rule.carrier.is_none() || rule.carrier == carrier)
        };
        self.statuses
            .iter()
            .rev()
            .find(fits)
            .map_or(kind.default_status(), |rule| rule.status)
    }

    fn with_rule(mut self, rule: StatusRule) -> Self {
        if !(rule.status.is_informational() || rule.status.is_success()) {
            self.statuses = self.statuses.iter().copied().chain([rule]).collect();
        }
        self
    }
}

/// Bearer tokens, in the header or as the subprotocol `v1.bearer.<base64url>` with the marker
/// `v1.bearer`.
///
/// ```js
/// new WebSocket(url, ["v1.bearer", "v1.bearer." + base64url(token)])
/// ```
impl Default for Profile {
    fn default() -> Self {
        let subprotocol =
            SubprotocolCarrier::prefixed("v1.bearer.", SubprotocolEncoding::Base64Url);
        Self::new("bearer")
            .carrier(AuthorizationCarrier::bearer())
            .carrier(subprotocol.marker("v1.bearer"))
    }
}

#[derive(Clone, Copy, Debug)]
struct StatusRule {
    kind: RefusalKind,
    carrier: Option<Carrier>,
    status: StatusCode,
}

/// What happens when a request bears more than one credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Precedence {
    /// The first of query and header wins, and a good cookie rescues it if it is bad.
    FirstWins,

    /// Two different explicit ones are refused, and nothing rescues a bad one.
    OneCredential,
}

/// How closely an `Origin` has to match the host of the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SameOrigin {
    /// Scheme, host and port. A request without an `Origin` does not match.
    Exact,

    /// Host and port. A request without an `Origin` passes.
    Lenient,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_readers_of_one_header_are_one() {
        let profile = Profile::new("both")
            .carrier(AuthorizationCarrier::bearer())
            .carrier(QueryCarrier::named("token"))
            .carrier(AuthorizationCarrier::basic());
        let [CarrierConfig::Authorization(both), CarrierConfig::Query(_)] = profile.carriers()
        else {
            panic!("{profile:?}");
        };
        assert_eq!(both.challenges().count(), 2);
    }

    #[test]
    #[should_panic(expected = "a close frame cannot contain the code 1006")]
    fn a_code_that_cannot_be_sent() {
        let mut codes = CloseCodes::registered();
        codes.expired = 1006;
        let _ = Profile::default().close_codes(codes);
    }
}
