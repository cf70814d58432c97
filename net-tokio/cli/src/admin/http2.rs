//! The answer to clients that begin with HTTP/2, which is not spoken here.

use tokio::io::AsyncWriteExt;

use super::client::Client;

/// What such a client begins with (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An empty SETTINGS frame, which has to come first.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

const GOAWAY: u8 = 7;

/// The client is to use HTTP/1.1 (RFC 9113, 7).
const HTTP_1_1_REQUIRED: u32 = 13;

const TEXT: &[u8] = b"the admin server speaks HTTP/1.1, not HTTP/2";

/// Says so in HTTP/2, and ends the connection.
pub(super) async fn decline(client: Client) {
    // A client that has gone has nothing to learn.
    client.wire().write_all(&farewell()).await.ok();
    client.linger().await;
}

fn farewell() -> Vec<u8> {
    // The last stream that was looked at (none), the code and the text.
    let length = u8::try_from(8 + TEXT.len()).unwrap_or(u8::MAX);
    let head = [0, 0, length, GOAWAY, 0, 0, 0, 0, 0];
    [&SETTINGS[..], &head, &[0; 4], &HTTP_1_1_REQUIRED.to_be_bytes(), TEXT].concat()
}
