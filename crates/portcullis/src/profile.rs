//! [`Profile`]: the carriers and statuses of one ecosystem.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use crate::carrier::{
    AuthorizationCarrier, Carrier, CarrierConfig, QueryCarrier, SubprotocolCarrier,
    SubprotocolEncoding,
};
use crate::close::CloseCodes;
use crate::refusal::{RefusalKind, RefusalPolicy, StatusRule};

/// The carriers, the subprotocol policy, the refusal statuses and the close codes of one ecosystem.
///
/// A profile is data: it can be printed, compared with the standard that it follows, and changed.
///
/// ```
/// use portcullis::Profile;
/// use portcullis::carrier::{AuthorizationCarrier, CookieCarrier};
///
/// // What an existing ecosystem expects …
/// let jupyter = Profile::jupyter();
/// // … or exactly the carriers that you name.
/// let custom = Profile::new("custom")
///     .carrier(AuthorizationCarrier::bearer())
///     .carrier(CookieCarrier::named("session"));
/// ```
///
/// | profile | carriers | refuses with |
/// |---|---|---|
/// | [`default`](Profile::default) | `Bearer`, `v1.bearer.<base64url>` | RFC 6750 |
/// | [`jupyter`](Profile::jupyter) | `Bearer` and `token`, `v1.token.websocket.jupyter.org.<…>`, `?token=` | 403 |
/// | [`jupyter().compat()`](Profile::compat) | the same, read like Jupyter Server does | 403 |
/// | [`kubernetes`](Profile::kubernetes) | `Bearer`, `base64url.bearer.authorization.k8s.io.<…>` | 401 |
/// | [`phoenix`](Profile::phoenix) | `base64url.bearer.phx.<…>` | 403 |
#[derive(Clone, Debug)]
pub struct Profile {
    name: Cow<'static, str>,
    carriers: Arc<[CarrierConfig]>,
    statuses: Arc<[StatusRule]>,
    codes: CloseCodes,
    pub(crate) precedence: Precedence,
    pub(crate) same_origin: SameOrigin,
}

impl Profile {
    /// Creates a profile without carriers, which admits no credential. Add carriers with
    /// [`carrier`](Self::carrier).
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            carriers: Arc::default(),
            statuses: Arc::default(),
            codes: CloseCodes::registered(),
            precedence: Precedence::OneCredential,
            same_origin: SameOrigin::Exact,
        }
    }

    /// Creates the profile of Jupyter: what its clients send today, and the subprotocol of JEP 121.
    ///
    /// It reads `Authorization: Bearer` and `token`, the subprotocol
    /// `v1.token.websocket.jupyter.org.<percent-encoded token>` with its marker
    /// `v1.token.websocket.jupyter.org`, and `?token=`. The cookie needs a key, so add it with
    /// [`carrier`](Self::carrier).
    ///
    /// It refuses with 403 like Jupyter Server and the JEP, and is stricter than both: it also
    /// refuses an invalid token next to a valid cookie, two different tokens, and a token that is
    /// the only subprotocol offered.
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
            // JEP 121: a rejected token MUST be answered with 403.
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

    /// Reads and decides like `jupyter_server` 2.21.1, for servers that must behave identically.
    ///
    /// * The query has precedence over the header. A token in the subprotocol must equal both.
    /// * The last of several `?token=` counts, and the first of several tokens in subprotocols.
    /// * A valid cookie is used if the token in the query or the header is invalid.
    /// * A token may be the only subprotocol offered. Nothing is echoed then.
    /// * A cookie needs no `Origin`, and the scheme of an `Origin` is not compared.
    ///
    /// JEP 121 still applies: an invalid token in the subprotocol is refused with 403, whatever the
    /// cookie.
    ///
    /// # Security
    ///
    /// With an invalid token, a page of an allowed origin gets a second attempt with the browser's
    /// cookie. Use the strict profile unless one of your clients needs this one.
    #[must_use]
    pub fn compat(mut self) -> Self {
        self.name = Cow::Owned(format!("{}-compat", self.name));
        self.precedence = Precedence::FirstWins;
        self.same_origin = SameOrigin::Lenient;
        self.carriers = self
            .carriers
            .iter()
            .cloned()
            .map(|carrier| match carrier {
                CarrierConfig::Query(query) => query.forgiving().into(),
                CarrierConfig::Subprotocol(entry) => entry.first_wins().allow_alone().into(),
                other => other,
            })
            .collect();
        self
    }

    /// Creates the profile of the Kubernetes API server: `Authorization: Bearer`, and the
    /// subprotocol `base64url.bearer.authorization.k8s.io.<base64url>` next to another one.
    ///
    /// Like the API server, it refuses malformed credentials with 401, too.
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

    /// Creates the profile of Phoenix 1.8 sockets with `authToken`: the subprotocol
    /// `base64url.bearer.phx.<base64>` with the marker `phoenix`.
    ///
    /// Phoenix accepts two tokens; this profile refuses them.
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

    /// Adds a carrier. Earlier ones of the same kind stay. A second
    /// [`AuthorizationCarrier`] is merged with the first, because a request has one such header.
    #[must_use]
    pub fn carrier(mut self, carrier: impl Into<CarrierConfig>) -> Self {
        let mut added = Some(carrier.into());
        let merge = |carrier: CarrierConfig| match (carrier, &added) {
            (CarrierConfig::Authorization(first), Some(CarrierConfig::Authorization(second))) => {
                let merged = first.merged_with(second);
                added = None;
                CarrierConfig::Authorization(merged)
            }
            (carrier, _) => carrier,
        };
        let mut carriers: Vec<_> = self.carriers.iter().cloned().map(merge).collect();
        carriers.extend(added);
        self.carriers = carriers.into();
        self
    }

    /// Sets the status of refusals of this kind.
    ///
    /// A status that means success (1xx, 2xx) is ignored.
    #[must_use]
    pub fn status(self, kind: RefusalKind, status: StatusCode) -> Self {
        self.with_rule(StatusRule {
            kind,
            carrier: None,
            status,
        })
    }

    /// Sets the status of refusals of this kind, if the credential came in `carrier`.
    ///
    /// The rule that was added last applies. A status that means success (1xx, 2xx) is ignored.
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

    /// Sets the close codes of admitted sockets; [`CloseCodes::registered`] by default.
    ///
    /// # Panics
    ///
    /// Panics if a close frame cannot contain one of them; see
    /// [`CloseFrame::new`](crate::close::CloseFrame::new).
    #[must_use]
    pub fn close_codes(mut self, codes: CloseCodes) -> Self {
        codes.assert_sendable();
        self.codes = codes;
        self
    }

    /// Returns the close codes.
    pub fn codes(&self) -> CloseCodes {
        self.codes
    }

    /// Returns the name of the profile, which logs contain.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the carriers in the order in which they are read.
    pub fn carriers(&self) -> &[CarrierConfig] {
        &self.carriers
    }

    /// Returns the settings that refusals depend on.
    pub(crate) fn refusal_policy(&self) -> RefusalPolicy<'_> {
        RefusalPolicy {
            profile: Some(&self.name),
            statuses: &self.statuses,
            carriers: &self.carriers,
        }
    }

    fn with_rule(mut self, rule: StatusRule) -> Self {
        if !(rule.status.is_informational() || rule.status.is_success()) {
            self.statuses = self.statuses.iter().copied().chain([rule]).collect();
        }
        self
    }
}

/// Returns the profile for bearer tokens: in the header, or as the subprotocol
/// `v1.bearer.<base64url>` with the marker `v1.bearer`.
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

/// What happens if a request contains more than one credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Precedence {
    /// The first explicit credential, in the order of the carriers, decides. If it is invalid, a
    /// valid cookie decides.
    FirstWins,

    /// Two different explicit credentials conflict. A cookie next to an explicit one is ignored.
    OneCredential,
}

/// How an `Origin` is compared with the host of the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SameOrigin {
    /// Scheme, host and port are equal. A request without an `Origin` does not match.
    Exact,

    /// Host and port are equal. A request without an `Origin` matches.
    Lenient,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_carriers_of_one_header_are_merged() {
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
    fn close_code_that_cannot_be_sent_panics() {
        let mut codes = CloseCodes::registered();
        codes.expired = 1006;
        let _ = Profile::default().close_codes(codes);
    }
}
