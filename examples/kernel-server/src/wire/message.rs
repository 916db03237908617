use std::time::SystemTime;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::Malformed;

/// A message with its JSON parts exactly as the sender wrote them. Clones share the bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Message {
    pub(crate) channel: Channel,
    pub(crate) header: Bytes,
    pub(crate) parent_header: Bytes,
    pub(crate) metadata: Bytes,
    pub(crate) content: Bytes,
    pub(crate) buffers: Vec<Bytes>,
}

impl Message {
    /// Creates a message of the server. `parent` is the header of the request that it answers.
    pub(crate) fn new(
        channel: Channel,
        msg_type: &str,
        session: &str,
        parent: Option<&Bytes>,
        content: &Value,
    ) -> Self {
        let header = json!({
            "msg_id": Uuid::new_v4().to_string(),
            "msg_type": msg_type,
            "session": session,
            "username": "kernel-server",
            "date": timestamp(SystemTime::now()),
            "version": "5.4",
        });
        Self {
            channel,
            header: header.to_string().into(),
            parent_header: parent.cloned().unwrap_or_else(empty_object),
            metadata: empty_object(),
            content: content.to_string().into(),
            buffers: Vec::new(),
        }
    }

    /// Creates a message from its parts, after a check that they are valid.
    pub(crate) fn from_parts(
        channel: Channel,
        [header, parent_header, metadata, content]: [Bytes; 4],
        buffers: Vec<Bytes>,
    ) -> Result<Self, Malformed> {
        let message = Self {
            channel,
            header,
            parent_header: object_or_null(parent_header)?,
            metadata: object_or_null(metadata)?,
            content: object_or_null(content)?,
            buffers,
        };
        message.header()?;
        Ok(message)
    }

    /// Parses the fields of the header that the server needs.
    pub(crate) fn header(&self) -> Result<Header<'_>, Malformed> {
        serde_json::from_slice(&self.header).map_err(|_| Malformed::Json)
    }

    /// Parses the content.
    pub(crate) fn content<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Malformed> {
        serde_json::from_slice(&self.content).map_err(|_| Malformed::Json)
    }

    /// Returns the size of all parts in bytes.
    pub(crate) fn size(&self) -> usize {
        let parts = [
            &self.header,
            &self.parent_header,
            &self.metadata,
            &self.content,
        ];
        parts.into_iter().chain(&self.buffers).map(Bytes::len).sum()
    }
}

/// A parsed header. Strings that contain escapes are owned.
#[derive(Debug, Deserialize)]
pub(crate) struct Header<'a> {
    #[serde(borrow)]
    pub(crate) msg_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) msg_type: std::borrow::Cow<'a, str>,
}

/// The channels of a kernel.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Channel {
    /// Requests that the kernel answers while code runs, such as interrupts.
    Control,

    /// Output and status, for all clients.
    Iopub,

    /// Requests that the kernel handles in order.
    Shell,

    /// Requests for input from the user, and the replies.
    Stdin,
}

impl Channel {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Iopub => "iopub",
            Self::Shell => "shell",
            Self::Stdin => "stdin",
        }
    }

    pub(crate) fn parse(name: &[u8]) -> Result<Self, Malformed> {
        match name {
            b"control" => Ok(Self::Control),
            b"iopub" => Ok(Self::Iopub),
            b"shell" => Ok(Self::Shell),
            b"stdin" => Ok(Self::Stdin),
            _ => Err(Malformed::Channel),
        }
    }
}

/// Formats a time like Jupyter, in UTC with at most microseconds.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    time.replace_nanosecond(time.microsecond() * 1000)
        .unwrap_or(time)
        .format(&Rfc3339)
        // Fails only for years after 9999.
        .unwrap_or_default()
}

fn empty_object() -> Bytes {
    Bytes::from_static(b"{}")
}

/// Returns the part if it is an object, and an empty object for `null`, which Jupyter Server sends.
fn object_or_null(part: Bytes) -> Result<Bytes, Malformed> {
    // `IgnoredAny` parses without recursion, so deeply nested JSON does not overflow the stack.
    serde_json::from_slice::<IgnoredAny>(&part).map_err(|_| Malformed::Json)?;
    match part.trim_ascii_start().first() {
        Some(b'{') => Ok(part),
        Some(b'n') => Ok(empty_object()),
        _ => Err(Malformed::Json),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message with two buffers and an unknown header field.
    pub(crate) fn example() -> Message {
        Message {
            header: Bytes::from_static(
                br#"{"msg_id":"1","msg_type":"comm_msg","subshell_id":"s"}"#,
            ),
            buffers: vec![Bytes::from_static(b"\0\xff"), Bytes::new()],
            ..Message::new(Channel::Shell, "", "", None, &json!({"code": "1 + 1"}))
        }
    }

    #[test]
    fn header_requires_id_and_type() {
        let with_header = |header: &'static str| {
            let parts = [header, "{}", "{}", "{}"].map(str_bytes);
            Message::from_parts(Channel::Shell, parts, Vec::new())
        };
        assert!(with_header(r#"{"msg_id":"1","msg_type":"\u0061"}"#).is_ok());
        for header in ["", "{}", "[]", "null", r#"{"msg_id":1,"msg_type":"a"}"#] {
            assert_eq!(with_header(header), Err(Malformed::Json), "{header}");
        }
    }

    #[test]
    fn parts_are_objects_or_null() {
        let with_content = |content: &'static str| {
            let header = r#"{"msg_id":"1","msg_type":"a"}"#;
            let parts = [header, "null", "{}", content].map(str_bytes);
            Message::from_parts(Channel::Shell, parts, Vec::new())
        };
        assert_eq!(with_content(" {}").unwrap().parent_header, "{}");
        for content in ["", "[]", "1", "{", "{}{}", "nul"] {
            assert_eq!(with_content(content), Err(Malformed::Json), "{content}");
        }
    }

    #[test]
    fn timestamps_are_in_utc() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_500_000_123_456_789);
        assert_eq!(timestamp(time), "1970-01-18T08:40:00.123456Z");
    }

    fn str_bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }
}
