//! A server of Envoy's gRPC protocol for authorization.

use std::net::{Ipv4Addr, SocketAddr};

use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValue,
    HeaderValueOption, HttpResponse, HttpStatus, OkHttpResponse,
};
use envoy_types::pb::google::rpc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use super::StartError;

/// A running server; it stops when this is dropped. It adds the header `x-tenant` with what a request has in `x-token`,
/// and answers 401 to those without.
#[derive(Debug)]
pub struct Authorizer {
    /// Where it listens.
    pub addr: SocketAddr,
    serving: JoinHandle<()>,
}

impl Authorizer {
    /// Starts one on a free loopback port of the current tokio runtime.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start() -> Result<Authorizer, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let server = Server::builder().add_service(AuthorizationServer::new(Tokens));
        let serving = tokio::spawn(async move {
            // Its errors are its clients' to see.
            let _ = server.serve_with_incoming(TcpIncoming::from(listener)).await;
        });
        Ok(Authorizer { addr, serving })
    }
}

impl Drop for Authorizer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Tokens;

#[tonic::async_trait]
impl Authorization for Tokens {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let http = request.into_inner().attributes.and_then(|it| it.request).and_then(|it| it.http);
        let token = http.and_then(|http| http.headers.get("x-token").cloned());
        let (code, answer) = match token {
            Some(token) => (Code::Ok, HttpResponse::OkResponse(tenant(token))),
            None => {
                let status = Some(HttpStatus { code: 401 });
                let denied = DeniedHttpResponse { status, ..DeniedHttpResponse::default() };
                (Code::Unauthenticated, HttpResponse::DeniedResponse(denied))
            }
        };
        let status = Some(rpc::Status { code: code.into(), ..rpc::Status::default() });
        let answer = CheckResponse { status, http_response: Some(answer), ..CheckResponse::default() };
        Ok(Response::new(answer))
    }
}

fn tenant(value: String) -> OkHttpResponse {
    let option = |key: &str, value: String| HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value, ..HeaderValue::default() }),
        ..HeaderValueOption::default()
    };
    // What it says of the host must not count.
    let headers = vec![option("x-tenant", value), option("host", "elsewhere.example.com".to_owned())];
    OkHttpResponse { headers, ..OkHttpResponse::default() }
}
