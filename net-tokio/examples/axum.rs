//! A server inside an axum application: agents connect to one of its routes.
//!
//! ```sh
//! cargo run -p watertight --example axum
//! ```

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::routing::get;
use tokio::net::TcpListener;
use watertight::{AuthRequest, Refusal, Server};

#[tokio::main]
async fn main() -> io::Result<()> {
    let server = Server::builder(|request: AuthRequest| async move {
        // Replace this by your own authentication: it accepts any agent that sends a key.
        request.client_key.ok_or_else(|| Refusal::bad_request("no client key"))
    })
    .build();
    // axum keeps the remote's address in an extension of its own type.
    let agents = server
        .upgrade_service()
        .remote_from(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
    let app = Router::new()
        .route("/clients", get(clients))
        .route_service("/connect", agents)
        .with_state(server);
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}

async fn clients(State(server): State<Server>) -> String {
    let lines = server.clients().into_iter().map(|client| {
        format!("{} from {:?}, {} connections\n", client.key, client.remote, client.ledger.live)
    });
    lines.collect()
}
