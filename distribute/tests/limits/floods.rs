//! Frames without end, from peers with a token and without.

use distribute::Options;
use tokio::task::JoinSet;

use crate::Siege;
use crate::bed::FOREVER;
use crate::raw::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, frame,
    header, opening,
};

/// Sends what `next` gives until the server closes the connection, on several at a time; the proxies are served
/// meanwhile.
async fn flood(token: Option<&'static str>, next: fn(u32) -> Vec<u8>) {
    let mut siege = Siege::of(Options::default()).await;
    let mut attackers = JoinSet::new();
    for _ in 0..4 {
        let mut raw = Raw::connect(siege.server.address).await;
        attackers.spawn(async move {
            if token.is_some() {
                raw.open(token).await;
            }
            let mut stream = 3;
            // What the server answers is not read.
            while raw.write(&next(stream)).await {
                stream += 2;
                tokio::task::yield_now().await;
            }
        });
    }
    siege.serves().await;
    let ended = async { while attackers.join_next().await.is_some() {} };
    tokio::time::timeout(FOREVER, ended).await.expect("the flood is not ended");
    siege.serves().await;
    siege.bounded(64);
}

macro_rules! floods {
    ($($name:ident: $next:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            flood(None, $next).await;
            flood(Some("token-other"), $next).await;
        }
    )*};
}

floods! {
    a_flood_of_pings_is_ended: |_| frame(PING, 0, 0, &[0; 8]);
    a_flood_of_settings_is_ended: |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    a_flood_of_window_updates_is_ended: |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    a_flood_of_empty_data_is_ended: |_| frame(DATA, 0, 1, &[]);
    a_flood_of_continuations_is_ended: |stream| match stream {
        3 => frame(HEADERS, 0, 3, &opening(None)),
        _ => frame(CONTINUATION, 0, 3, &header("x-flood", &"x".repeat(100)).repeat(100)),
    };
    rapid_resets_are_ended: |stream| {
        let mut both = frame(HEADERS, END_HEADERS, stream, &opening(Some("token-other")));
        both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        both
    };
    streams_without_end_are_ended: |stream| frame(HEADERS, END_HEADERS, stream, &opening(Some("token-other")));
    a_bomb_of_headers_is_ended: |stream| frame(HEADERS, END_HEADERS, stream, &bomb());
    unknown_frames_without_end_are_ended: |stream| frame(0xfa, 0, stream, &[0; 1000]);
}

/// A large header that goes into the table of the connection, and 12,000 references to it of a byte each.
fn bomb() -> Vec<u8> {
    let mut block = opening(None);
    // 4,000 as an integer with a prefix of seven bits (RFC 7541, 5.1).
    block.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    block.extend(vec![b'x'; 4000]);
    block.extend(vec![0xbe; 12_000]);
    block
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_no_http2() {
    let mut siege = Siege::of(Options::default()).await;
    let mut torn = PREFACE.to_vec();
    torn.extend_from_slice(&frame(HEADERS, END_HEADERS, 1, &opening(Some("token-web")))[..20]);
    let garbage = [vec![0xff; 4096], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), torn, vec![0; 9]];
    for bytes in garbage.iter().cycle().take(200) {
        use tokio::io::AsyncWriteExt;
        let mut stream = tokio::net::TcpStream::connect(siege.server.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
    }
    siege.serves().await;
    siege.bounded(64);
}
