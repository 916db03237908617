use http::header::SET_COOKIE;
use http::{Request, Response};

use super::navigation::FetchSite;
use crate::admission::{HostPolicy, OriginPolicy};
use crate::carrier::{QueryCarrier, Unreadable, find_cookie};
use crate::profile::SameOrigin;
use crate::seal::{self, SealedCookie};

/// Which links need a confirmation of the user.
///
/// No policy replaces the cookie of another user without a confirmation.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LinkPolicy {
    /// Asks "Continue as alice?" for every link.
    AskAlways,

    /// Asks for a link on a page of another origin, including another port or subdomain
    /// (`Sec-Fetch-Site: same-site`). Does not ask if the user typed the URL, opened it from a mail
    /// or a bookmark, or followed a link on a page of this server.
    #[default]
    AskIfForeign,

    /// Does not ask, even for a link on a page of another site.
    ///
    /// # Security
    ///
    /// An attacker with a valid token can log visitors in as the attacker, through a link or an
    /// invisible redirect (login CSRF). This does no harm if all tokens belong to one user.
    TrustAnySite,
}

impl LinkPolicy {
    pub(super) fn asks(self, is_foreign: bool) -> bool {
        match self {
            Self::AskAlways => true,
            Self::AskIfForeign => is_foreign,
            Self::TrustAnySite => false,
        }
    }
}

/// The settings of a [`PersistTokenLayer`](crate::PersistTokenLayer).
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) cookie: SealedCookie,
    pub(super) parameter: QueryCarrier,
    pub(super) policy: LinkPolicy,
    pub(super) on_api_responses: bool,
    pub(super) hosts: HostPolicy,
    pub(super) origins: OriginPolicy,
}

/// The sealed cookie in the `Cookie` header of a request.
pub(super) type ReceivedCookie = seal::ReceivedCookie<Unreadable>;

impl Settings {
    /// Returns whether the host of the request is on the list.
    pub(super) fn serves_host<B>(&self, request: &Request<B>) -> bool {
        self.hosts.check(request).is_ok()
    }

    /// Returns whether a page of this server sent the request.
    ///
    /// `Sec-Fetch-Site` and `Origin` must both name this server if they are present. If
    /// `Sec-Fetch-Site` does, the scheme of `Origin` may differ, because a proxy may terminate TLS.
    pub(super) fn is_same_origin<B>(&self, request: &Request<B>, absent_passes: bool) -> bool {
        let checked = match FetchSite::of(request.headers()) {
            FetchSite::SameOrigin => self.origins.check(request, SameOrigin::Lenient, true),
            FetchSite::Absent => self
                .origins
                .check(request, SameOrigin::Exact, absent_passes),
            FetchSite::None | FetchSite::OtherOrigin => return false,
        };
        checked.is_ok()
    }

    /// Reads the sealed cookie of the request.
    pub(super) fn read_cookie<B>(&self, request: &Request<B>) -> ReceivedCookie {
        let headers = request.headers();
        self.cookie.read(|name| find_cookie(headers, name))
    }

    /// Returns whether the application itself sets or removes the cookie. The layer then does not
    /// touch it.
    pub(super) fn sets_cookie<B>(&self, response: &Response<B>) -> bool {
        response.headers().get_all(SET_COOKIE).iter().any(|line| {
            let line = line.as_bytes();
            let end = line.iter().position(|byte| *byte == b'=');
            end.is_some_and(|end| self.cookie.is_part(&line[..end]))
        })
    }
}
