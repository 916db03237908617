use portcullis_e2e::Server;

use crate::link;

const MARKER: &str = "v1.token.websocket.jupyter.org";

/// One attempt to open a socket: the query and the headers that it adds.
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Attempt {
    fn new(name: &'static str, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Self {
            name,
            query: String::new(),
            headers,
        }
    }

    fn query(name: &'static str, query: &str) -> Self {
        Self {
            query: query.to_owned(),
            ..Self::new(name, &[])
        }
    }
}

/// Returns an attempt that every server admits.
pub(super) fn admitted(server: &Server) -> Attempt {
    Attempt::new(
        "a valid token",
        &[("authorization", &format!("Bearer {}", server.token()))],
    )
}

/// Returns attempts that every server refuses, independent of its carriers.
pub(super) fn refused_anywhere(server: &Server) -> Vec<Attempt> {
    let (good, wrong) = (server.token(), server.unknown_secret());
    let (good, wrong) = (format!("Bearer {good}"), format!("Bearer {wrong}"));
    vec![
        Attempt::new("no credential", &[]),
        Attempt::new("a wrong token", &[("authorization", &wrong)]),
        Attempt::new(
            "two credentials in one carrier",
            &[("authorization", &good), ("authorization", &wrong)],
        ),
        Attempt::new(
            "a cookie that the server did not set",
            &[("cookie", &format!("session={wrong}"))],
        ),
    ]
}

/// Returns attempts that the kernel server refuses in both profiles.
pub(super) async fn refused(server: &Server) -> Vec<Attempt> {
    let wrong = server.unknown_secret();
    let cookie = link::cookie_line(server).await;
    let subprotocols =
        |name, entries: &str| Attempt::new(name, &[("sec-websocket-protocol", entries)]);
    let from = |name, origin| Attempt::new(name, &[("cookie", &cookie), ("origin", origin)]);
    let mut attempts = refused_anywhere(server);
    attempts.extend([
        Attempt::query("a wrong token in the query", &format!("?token={wrong}")),
        Attempt::query("invalid UTF-8 in the query", "?token=%ff"),
        subprotocols("the marker alone", MARKER),
        subprotocols(
            "a wrong token in a subprotocol",
            &format!("{MARKER}, {MARKER}.{wrong}"),
        ),
        subprotocols(
            "a subprotocol that cannot be decoded",
            &format!("{MARKER}, {MARKER}.%zz"),
        ),
        from("the cookie with another origin", "http://evil.example"),
        from("the cookie with another port", "http://127.0.0.1:1"),
        from("the cookie with the origin null", "null"),
    ]);
    attempts
}
