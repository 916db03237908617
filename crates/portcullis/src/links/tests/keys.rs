//! Rotation of keys while the server runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn page_renews_a_cookie_of_a_previous_key() {
    let server = Server::new();
    let mut jar = server.jar("alice-1");
    server.clock.advance(3600);
    server
        .cookie
        .replace_keys(CookieKeys::new(&key(2)).and_previous(&key(1)));

    for (method, lines) in [
        ("HEAD", TYPED.to_owned()),
        ("GET", "host: localhost:8888".to_owned()),
        ("GET", format!("{UPGRADE} | origin: http://localhost:8888")),
    ] {
        let response = server.send(request(method, "/", &lines, &jar)).await;
        assert_eq!(outcome(&response), "pass 200", "{method} {lines}");
    }
    let response = server.open("/", TYPED, &jar).await;
    assert_eq!(outcome(&response), "pass 200 set");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let rest = cookie::time::Duration::seconds(28_800 - 3600);
    assert_eq!(set_cookies(response.headers())[0].max_age(), Some(rest));
    let old = jar.clone();
    jar.take(response.headers());
    assert_eq!(outcome(&server.open("/", TYPED, &jar).await), "pass 200");

    // Without the old key the old cookie does not open. The new cookie ends when the old one did.
    server.cookie.replace_keys(CookieKeys::new(&key(2)));
    assert_eq!(
        outcome(&server.open("/", TYPED, &old).await),
        "pass 403 clear"
    );
    assert_eq!(outcome(&server.open("/", TYPED, &jar).await), "pass 200");
    server.clock.advance(28_800 - 3600);
    assert_eq!(
        outcome(&server.open("/", TYPED, &jar).await),
        "pass 403 clear"
    );
}

#[tokio::test]
async fn refused_cookie_is_not_renewed() {
    let server = Server::new();
    let jar = server.jar("alice-1");
    let down = server.jar("down");
    server
        .cookie
        .replace_keys(CookieKeys::new(&key(2)).and_previous(&key(1)));
    let response = server.open("/", TYPED, &down).await;
    assert_eq!(outcome(&response), "pass 503");
    let response = server.open("/?token=mallory", TYPED, &jar).await;
    assert_eq!(outcome(&response), "pass 403");
    server.verifier.revoke("alice-1");
    assert_eq!(
        outcome(&server.open("/", TYPED, &jar).await),
        "pass 403 clear"
    );
}

/// Opens a thousand sockets and a thousand pages while another thread rotates the keys.
#[test]
fn requests_are_admitted_while_keys_rotate() {
    const THREADS: usize = 8;
    const EACH: usize = 125;

    let server = Server::new();
    let jar = server.jar("alice-1");
    let (done, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let rotations = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .build()
                        .unwrap();
                    let lines = format!("{UPGRADE} | origin: http://localhost:8888");
                    let mut mine = jar.clone();
                    for _ in 0..EACH {
                        let socket = runtime.block_on(server.open("/ws", &lines, &jar));
                        let page = runtime.block_on(server.open("/", TYPED, &mine));
                        let admitted = outcome(&socket) == "pass 200" && page.status() == 200;
                        refused.fetch_add(usize::from(!admitted), Ordering::Relaxed);
                        mine.take(page.headers());
                    }
                })
            })
            .collect();
        let rotating = scope.spawn(|| {
            let mut rotations = 0_u8;
            while !done.load(Ordering::Relaxed) || rotations < 10 {
                // The first key and all keys that seal meanwhile stay in the ring.
                let [now, then, later] = [0, 1, 2].map(|step| key(2 + (rotations + step) % 3));
                let keys = CookieKeys::new(&now).and_previous(&then);
                server
                    .cookie
                    .replace_keys(keys.and_previous(&later).and_previous(&key(1)));
                rotations = if rotations < 60 { rotations + 1 } else { 10 };
                std::thread::yield_now();
            }
            rotations
        });
        for client in clients {
            client.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        rotating.join().unwrap()
    });
    assert!(rotations >= 10);
    assert_eq!(refused.load(Ordering::Relaxed), 0);

    // Without the key, all are refused.
    server.cookie.replace_keys(CookieKeys::new(&key(8)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let response = runtime.block_on(server.open("/", TYPED, &jar));
    assert_eq!(outcome(&response), "pass 403 clear");
}
