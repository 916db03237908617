//! The thread of the embedded kernel, which answers requests in order.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::console::Console;
use super::interpreter::{Completeness, Interpreter};
use super::signal::Signal;
use crate::kernel::clients::ClientId;
use crate::kernel::output::Output;
use crate::wire::Message;

/// An item in the queue of the thread.
#[derive(Debug)]
pub(super) enum Work {
    Answer(ClientId, Message),
    /// A cell that is not run because an earlier one failed.
    Abort(ClientId, Message),
    Stop,
}

pub(super) struct Worker {
    console: Rc<Console>,
    interpreter: Interpreter,
    signal: Arc<Signal>,
    queue: mpsc::Receiver<Work>,
    /// Items that were taken from `queue` and are handled before the rest of it.
    pending: VecDeque<Work>,
    /// The number of the last cell.
    execution_count: u64,
}

#[derive(Deserialize)]
struct Execute {
    code: String,
    #[serde(default)]
    silent: bool,
    #[serde(default = "default_true")]
    stop_on_error: bool,
}

#[derive(Deserialize)]
struct Complete {
    code: String,
    cursor_pos: usize,
}

#[derive(Deserialize)]
struct IsComplete {
    code: String,
}

impl Worker {
    pub(super) fn new(
        queue: mpsc::Receiver<Work>,
        output: Output,
        session: &str,
        signal: Arc<Signal>,
    ) -> Self {
        let console = Rc::new(Console::new(output, session));
        // Publishes the initial status `idle`.
        console.end();
        Self {
            interpreter: Interpreter::new(&console, &signal),
            console,
            signal,
            queue,
            pending: VecDeque::new(),
            execution_count: 0,
        }
    }

    pub(super) fn run(mut self) {
        while let Some(work) = self.next() {
            match work {
                Work::Answer(client, request) => self.answer(client, &request),
                Work::Abort(client, request) => self.abort(client, &request),
                Work::Stop => return,
            }
            if self.signal.is_stopped() {
                return;
            }
        }
    }

    fn next(&mut self) -> Option<Work> {
        let pending = self.pending.pop_front();
        pending.or_else(|| self.queue.blocking_recv())
    }

    fn answer(&mut self, client: ClientId, request: &Message) {
        let Ok(header) = request.header() else {
            return;
        };
        // Clears an interrupt of an earlier request. `begin` publishes the status `busy`, so that a
        // later interrupt is meant for this request.
        self.signal.clear();
        self.console.begin(&request.header);
        let reply = match &*header.msg_type {
            "execute_request" => {
                let execute = |request| ("execute_reply", self.execute(&request));
                request.content().ok().map(execute)
            }
            "kernel_info_request" => Some(("kernel_info_reply", kernel_info())),
            "complete_request" => {
                let complete = |request| ("complete_reply", self.complete(&request));
                request.content().ok().map(complete)
            }
            "is_complete_request" => {
                let is_complete = |request| ("is_complete_reply", self.is_complete(&request));
                request.content().ok().map(is_complete)
            }
            "inspect_request" => {
                let content = json!({"status": "ok", "found": false, "data": {}, "metadata": {}});
                Some(("inspect_reply", content))
            }
            "history_request" => Some(("history_reply", json!({"status": "ok", "history": []}))),
            "comm_info_request" => Some(("comm_info_reply", json!({"status": "ok", "comms": {}}))),
            _ => None,
        };
        match reply {
            Some((msg_type, content)) => self.console.reply(client, msg_type, &content),
            None => tracing::debug!(msg_type = &*header.msg_type, "ignored a request"),
        }
        self.console.end();
    }

    fn abort(&mut self, client: ClientId, request: &Message) {
        let content = json!({"status": "aborted"});
        self.console.begin(&request.header);
        self.console.reply(client, "execute_reply", &content);
        self.console.end();
    }

    /// Aborts the queued cells after a failure.
    ///
    /// Call it before the error is published, so that cells that clients send afterwards run.
    fn abort_queued_cells(&mut self) {
        while let Ok(work) = self.queue.try_recv() {
            self.pending.push_back(match work {
                Work::Answer(client, request) if is_cell(&request) => Work::Abort(client, request),
                other => other,
            });
        }
    }

    /// Runs a cell and returns the content of the reply.
    fn execute(&mut self, request: &Execute) -> Value {
        if !request.silent {
            self.execution_count += 1;
            let content = json!({"code": request.code, "execution_count": self.execution_count});
            self.console.publish("execute_input", &content);
        }
        match self.interpreter.run(&request.code) {
            Ok(value) => {
                if let (Some(value), false) = (value, request.silent) {
                    let content = json!({
                        "data": {"text/plain": value},
                        "execution_count": self.execution_count,
                        "metadata": {},
                    });
                    self.console.publish("execute_result", &content);
                }
                json!({
                    "status": "ok",
                    "execution_count": self.execution_count,
                    "payload": [],
                    "user_expressions": {},
                })
            }
            Err(failure) => {
                if request.stop_on_error {
                    self.abort_queued_cells();
                }
                let mut content = json!({
                    "ename": failure.name,
                    "evalue": failure.value,
                    "traceback": failure.traceback,
                });
                self.console.publish("error", &content);
                content["status"] = json!("error");
                content["execution_count"] = json!(self.execution_count);
                content
            }
        }
    }

    fn complete(&self, request: &Complete) -> Value {
        // `cursor_pos` counts characters, not bytes.
        let before: Vec<char> = request.code.chars().take(request.cursor_pos).collect();
        let is_part = |character: &&char| character.is_alphanumeric() || **character == '_';
        let length = before.iter().rev().take_while(is_part).count();
        let start = before.len() - length;
        let prefix: String = before[start..].iter().collect();
        json!({
            "status": "ok",
            "matches": self.interpreter.names(&prefix),
            "cursor_start": start,
            "cursor_end": before.len(),
            "metadata": {},
        })
    }

    fn is_complete(&self, request: &IsComplete) -> Value {
        match self.interpreter.completeness(&request.code) {
            Completeness::Complete => json!({"status": "complete"}),
            Completeness::Incomplete => json!({"status": "incomplete", "indent": "    "}),
            Completeness::Invalid => json!({"status": "invalid"}),
        }
    }
}

/// The content of `kernel_info_reply`.
pub(super) fn kernel_info() -> Value {
    json!({
        "status": "ok",
        "protocol_version": "5.4",
        "implementation": "rhai",
        "implementation_version": env!("CARGO_PKG_VERSION"),
        "language_info": {
            "name": "rhai",
            "version": "1",
            "mimetype": "text/x-rhai",
            "file_extension": ".rhai",
            "pygments_lexer": "rust",
            "codemirror_mode": "rust",
        },
        "banner": "Rhai, built into the server. Try: print(6 * 7), html(\"<b>bold</b>\"), \
                   png(160, 100, |x, y| x * 65536 + y * 512), sleep(1)",
        "help_links": [{"text": "The Rhai book", "url": "https://rhai.rs/book/"}],
        "debugger": false,
    })
}

fn is_cell(request: &Message) -> bool {
    let header = request.header();
    header.is_ok_and(|header| header.msg_type == "execute_request")
}

fn default_true() -> bool {
    true
}
