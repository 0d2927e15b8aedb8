//! An app that can do everything, quickly: pages, bodies of both kinds, websockets.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::App;

/// Answers each request with its name and the length of what it was sent; echoes after an upgrade.
pub(super) async fn everything(name: &'static str) -> App {
    App::raw(move |stream| serve(name, stream)).await
}

async fn serve(name: &'static str, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let (mut input, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        while let Some((length, body, is_socket)) = request(&input) {
            input.drain(..length);
            if is_socket {
                let switch =
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                let _ = stream.write_all(&[switch.as_slice(), &input].concat()).await;
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                return;
            }
            let text = format!("{name} {body}");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => input.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

/// A whole request: its bytes, those of its body, whether it asks for a websocket.
fn request(input: &[u8]) -> Option<(usize, usize, bool)> {
    let head = input.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&input[..head]).unwrap();
    let is_socket = text.contains("\r\nupgrade: websocket\r\n");
    if !text.contains("\r\ntransfer-encoding: chunked\r\n") {
        return Some((head, 0, is_socket));
    }
    let (mut at, mut body) = (head, 0);
    loop {
        let end = at + input[at..].windows(2).position(|end| end == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&input[at..end]).unwrap(), 16).unwrap();
        if size == 0 {
            // With its trailers.
            let last = input[end..].windows(4).position(|end| end == b"\r\n\r\n")?;
            return Some((end + last + 4, body, is_socket));
        }
        at = end + 2 + size + 2;
        body += size;
        if at > input.len() {
            return None;
        }
    }
}
