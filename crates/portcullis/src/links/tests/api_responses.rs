//! The cookie in the response to an API call, for pages that open their socket with the cookie.

use super::*;

/// The headers of a `fetch` by a script of a page of this server.
const FETCH: &str = "host: localhost:8888 | accept: */* | sec-fetch-mode: cors | \
    sec-fetch-dest: empty | sec-fetch-site: same-origin";

#[tokio::test]
async fn api_response_sets_the_cookie_only_if_enabled() {
    let lines = format!("{FETCH} | authorization: token alice-1");
    let server = Server::new();
    let response = server.open("/api/kernels", &lines, &Jar::default()).await;
    assert_eq!(outcome(&response), "pass 200");

    for slow in [false, true] {
        let server = Server::with(slow, PersistTokenLayer::set_cookie_on_api_responses);
        let mut jar = Jar::default();
        let response = server.open("/api/kernels", &lines, &jar).await;
        assert_eq!(outcome(&response), "pass 200 set");
        assert_eq!(response.body(), "alice at /api/kernels");
        assert_eq!(response.headers()["cache-control"], "no-store");
        jar.take(response.headers());

        let socket = format!("{UPGRADE} | origin: http://localhost:8888");
        let response = server.open("/api/kernels/1/channels", &socket, &jar).await;
        assert_eq!(response.body(), "alice at /api/kernels/1/channels");

        // The cookie already contains the token.
        let response = server.open("/api/kernels", &lines, &jar).await;
        assert_eq!(outcome(&response), "pass 200");
    }
}

#[tokio::test]
async fn api_response_sets_the_cookie_only_for_own_pages_with_a_valid_token() {
    #[rustfmt::skip]
    let table = [
        // method    cookie       headers                                                     outcome
        ("GET",      "nothing",   "authorization: token alice-1",                                           "pass 200 set"),
        ("GET",      "nothing",   "authorization: Bearer alice-1",                                          "pass 200 set"),
        ("POST",     "nothing",   "authorization: token alice-1 | origin: http://localhost:8888",           "pass 200 set"),
        ("DELETE",   "nothing",   "authorization: token alice-1 | x-answer: 204",                           "pass 204 set"),
        ("GET",      "alice-2",   "authorization: token alice-1",                                           "pass 200 set"),
        ("GET",      "mallory",   "authorization: token alice-1",                                           "pass 200 set"),
        ("GET",      "alice-1",   "authorization: token alice-1",                                           "pass 200"),
        ("GET",      "bob-1",     "authorization: token alice-1",                                           "pass 200"),
        ("GET",      "down",      "authorization: token alice-1",                                           "pass 200"),
        ("HEAD",     "nothing",   "authorization: token alice-1",                                           "pass 200"),
        ("GET",      "nothing",   "authorization: token alice-1 | x-answer: 404",                           "pass 404"),
        ("GET",      "nothing",   "authorization: token alice-1 | x-answer: 302",                           "pass 302"),
        ("GET",      "nothing",   "authorization: token alice-1 | x-answer: 500",                           "pass 500"),
        ("POST",     "nothing",   "authorization: token alice-1 | x-set-cookie: __Host-session=; Max-Age=0","pass 200 clear"),
        ("POST",     "nothing",   "authorization: token alice-1 | origin: http://evil.example",             "pass 200"),
        ("GET",      "nothing",   "authorization: token mallory",                                           "pass 403"),
        ("GET",      "nothing",   "authorization: token down",                                              "pass 503"),
        ("GET",      "nothing",   "authorization: token boom",                                              "pass 500"),
        ("GET",      "nothing",   "authorization: token alice-1 | authorization: token alice-1",            "pass 403"),
        ("GET",      "nothing",   "authorization: Basic YWxpY2U6YWxpY2UtMQ==",                              "pass 403"),
        ("GET",      "nothing",   "",                                                                       "pass 403"),
        ("GET",      "alice-1",   "",                                                                       "pass 200"),
    ];
    for slow in [false, true] {
        let server = Server::with(slow, PersistTokenLayer::set_cookie_on_api_responses);
        for (method, cookie, lines, expected) in table {
            let jar = match cookie {
                "nothing" => Jar::default(),
                token => server.jar(token),
            };
            let sent = request(method, "/api", &format!("{FETCH} | {lines}"), &jar);
            let response = server.send(sent).await;
            assert_eq!(outcome(&response), expected, "{method} {cookie} {lines}");
        }

        #[rustfmt::skip]
        let sites = [
            ("sec-fetch-site: same-origin",                                    "pass 200 set"),
            ("origin: http://localhost:8888",                                  "pass 200 set"),
            ("accept: */*",                                                    "pass 200 set"),
            ("sec-fetch-site: same-site",                                      "pass 200"),
            ("sec-fetch-site: cross-site",                                     "pass 200"),
            ("sec-fetch-site: none",                                           "pass 200"),
            ("sec-fetch-site: same-origin | origin: http://evil.example",      "pass 200"),
            ("origin: http://localhost:9999",                                  "pass 200"),
            ("origin: null",                                                   "pass 200"),
        ];
        for (lines, expected) in sites {
            let lines = format!("host: localhost:8888 | authorization: token alice-1 | {lines}");
            let response = server.open("/api", &lines, &Jar::default()).await;
            assert_eq!(outcome(&response), expected, "{lines}");
        }

        // Any page can make a browser request this address. Over plain HTTP no header says which.
        for lines in [FETCH, "host: localhost:8888 | accept: image/png"] {
            let response = server
                .open("/api?token=alice-1", lines, &Jar::default())
                .await;
            assert_eq!(outcome(&response), "pass 200", "{lines}");
        }
        let socket =
            format!("{UPGRADE} | authorization: token alice-1 | origin: http://localhost:8888");
        let response = server.open("/ws", &socket, &Jar::default()).await;
        assert_eq!(outcome(&response), "pass 200");
    }
}
