//! Connections from one socket to another. A Unix socket is found by its path, in whatever network namespace.

use std::path::PathBuf;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Outside: loopback TCP to the socket. Runs until it is dropped.
pub(crate) async fn to_socket(listener: TcpListener, socket: PathBuf) {
    while let Ok((mut client, _)) = listener.accept().await {
        let socket = socket.clone();
        tokio::spawn(async move {
            // A client whose server is not there sees its connection close.
            if let Ok(mut server) = UnixStream::connect(&socket).await {
                let _ = client.set_nodelay(true);
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

/// Inside: the socket to a loopback port. Runs until it is dropped.
pub(crate) async fn to_port(listener: UnixListener, port: u16) {
    while let Ok((mut client, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = server.set_nodelay(true);
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
