//! Requests by prost, responses by hand: see [`Response`].

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::xds::Response;

#[derive(Clone, Copy, Debug)]
pub(super) struct DeltaCodec;

impl Codec for DeltaCodec {
    type Encode = Response;
    type Decode = DeltaDiscoveryRequest;
    type Encoder = DeltaCodec;
    type Decoder = DeltaCodec;

    fn encoder(&mut self) -> DeltaCodec {
        DeltaCodec
    }

    fn decoder(&mut self) -> DeltaCodec {
        DeltaCodec
    }
}

impl Encoder for DeltaCodec {
    type Item = Response;
    type Error = Status;

    fn encode(&mut self, response: Response, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.reserve(response.encoded_len());
        response.encode(buf);
        Ok(())
    }
}

impl Decoder for DeltaCodec {
    type Item = DeltaDiscoveryRequest;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<DeltaDiscoveryRequest>, Status> {
        let request = DeltaDiscoveryRequest::decode(buf);
        request
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("not a DeltaDiscoveryRequest: {error}")))
    }
}
