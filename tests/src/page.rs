use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A server of another origin that answers every request with one page.
#[derive(Debug)]
pub struct PageServer {
    address: SocketAddr,
}

impl PageServer {
    /// Serves `html` on a free port until the test ends.
    ///
    /// # Panics
    ///
    /// Panics if no port is free.
    pub fn start(html: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{html}",
            html.len()
        );
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // An error means that the client closed the connection early.
                let _ = serve(stream, answer.as_bytes());
            }
        });
        Self { address }
    }

    /// Returns the origin as in an `Origin` header: `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let head = BufReader::new(stream.try_clone()?).lines();
    // A browser opens connections early and sends nothing on them, so each has its own thread.
    thread::spawn({
        let answer = answer.to_vec();
        move || {
            let complete = head.map_while(Result::ok).any(|line| line.is_empty());
            if complete {
                stream.write_all(&answer)
            } else {
                Ok(())
            }
        }
    });
    Ok(())
}
