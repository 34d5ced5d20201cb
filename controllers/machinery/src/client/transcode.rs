//! Answers in protobuf, as the JSON that kube reads.

use fairlead_objects::protobuf::{self, Malformed};
use futures::{StreamExt, future};
use http::Response;
use http::header::CONTENT_TYPE;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use tower::BoxError;

/// The body of an answer.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// An answer to a watch: one line of JSON for each event, whatever it came as.
pub(super) fn watch(answer: Response<Body>) -> Response<AnswerBody> {
    let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|text| text.starts_with(protobuf::MEDIA_TYPE)) {
        return answer.map(|body| body.map_err(BoxError::from).boxed_unsync());
    }
    answer.map(|body| {
        let mut events = Events::default();
        let lines = BodyStream::new(body).map(move |frame| {
            let data = frame?.into_data().unwrap_or_default();
            Ok::<_, BoxError>(events.lines(&data)?)
        });
        // A piece without a byte would look like the end.
        let lines = lines.filter(|lines| future::ready(!lines.as_ref().is_ok_and(Bytes::is_empty)));
        StreamBody::new(lines.map(|lines| lines.map(Frame::data))).boxed_unsync()
    })
}

/// Any other answer: an object, a list or a status.
pub(super) async fn whole(answer: Response<Body>) -> Result<Response<AnswerBody>, BoxError> {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let json = if protobuf::is_protobuf(&bytes) { protobuf::to_json(&bytes)?.into() } else { bytes };
    Ok(Response::from_parts(parts, Full::new(json).map_err(|never| match never {}).boxed_unsync()))
}

/// Takes events out of the pieces in which they arrive.
#[derive(Default)]
struct Events {
    /// The beginning of an event: its length in four bytes, then the event.
    rest: Vec<u8>,
}

impl Events {
    /// The events that are complete with this piece.
    fn lines(&mut self, piece: &[u8]) -> Result<Bytes, Malformed> {
        let mut lines = Vec::new();
        if self.rest.is_empty() {
            let rest = complete(piece, &mut lines)?;
            self.rest.extend_from_slice(rest);
        } else {
            self.rest.extend_from_slice(piece);
            let left = complete(&self.rest, &mut lines)?.len();
            self.rest.drain(..self.rest.len() - left);
        }
        Ok(lines.into())
    }
}

/// Reads all events that are complete, and returns what is left.
fn complete<'a>(mut bytes: &'a [u8], lines: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    while let Some((length, after)) = bytes.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((event, rest)) = after.split_at_checked(length) else { break };
        protobuf::watch_event_to_json(event, lines)?;
        bytes = rest;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    const LINE: &str = concat!(
        r#"{"type":"BOOKMARK","object":{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"99"}}}"#,
        "\n"
    );

    /// A bookmark at version 99, as it is on the wire.
    fn event() -> Vec<u8> {
        let event =
            b"\x0a\x08BOOKMARK\x12\x19\x0a\x17k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x06\x0a\x04\x32\x0299";
        let length = u32::try_from(event.len()).unwrap().to_be_bytes();
        [length.as_slice(), event].concat()
    }

    #[test]
    fn events_are_told_as_they_become_complete_however_they_arrive() {
        let bytes = event().repeat(3);
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let mut events = Events::default();
                let mut told = 0;
                for (start, end) in [(0, first), (first, second), (second, bytes.len())] {
                    told += events.lines(&bytes[start..end]).unwrap().len();
                    assert_eq!(told, LINE.len() * (end / event().len()), "{first} {second}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        assert!(Events::default().lines(b"\0\0\0\x01\xff").is_err());
        assert_eq!(Events::default().lines(b"\xff\xff\xff\xff1").unwrap().len(), 0);
    }

    fn answer(media_type: &'static str, body: Vec<u8>) -> Response<Body> {
        let mut answer = Response::new(Body::from(body));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        answer
    }

    async fn text(answer: Response<AnswerBody>) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_watch_is_read_in_both_forms() {
        let protobuf = watch(answer("application/vnd.kubernetes.protobuf;stream=watch", event()));
        assert_eq!(text(protobuf).await, LINE);
        assert_eq!(text(watch(answer("application/json", LINE.into()))).await, LINE);
    }

    #[tokio::test]
    async fn a_status_is_read_in_both_forms() {
        // The message "gone" of a Status.
        let body = b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x06\x1a\x04gone".to_vec();
        let json = r#"{"apiVersion":"v1","kind":"Status","message":"gone"}"#;
        let protobuf = whole(answer("application/vnd.kubernetes.protobuf", body)).await.unwrap();
        assert_eq!(text(protobuf).await, json);
        assert_eq!(text(whole(answer("application/json", json.into())).await.unwrap()).await, json);
    }
}
