//! A delta as it travels, see `proto/delta.proto`.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::{Base, Delta, PrivateKeyRef, Put, XdsKey, XdsKind, wire};
use crate::{
    ClusterId, ContentHash, FencingEpoch, Kind, LogId, ObjectStatus, ParentStatus, Partition, Report,
    ResourceKey, Revision, RouteEntry, RouteSet, Routing,
};

/// Newest version of the message that this build writes and reads.
pub const SCHEMA: u32 = 1;

/// Why bytes are not a delta.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Not the protobuf message.
    #[error("not a delta: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A part is missing, or is not what it should be.
    #[error("not a delta: {0}")]
    Invalid(&'static str),
    /// A status that is none.
    #[error("not a delta: the status of {object}: {reason}")]
    Status {
        /// The object.
        object: Box<ResourceKey>,
        /// What is wrong.
        reason: String,
    },
    /// Written by a newer fleetgate: to skip a part of it would serve what never was.
    #[error("the delta has version {0}, this build reads up to {SCHEMA}: upgrade fleetgate")]
    Newer(u32),
}

impl Delta {
    /// The wire form.
    pub fn encode(&self) -> Vec<u8> {
        wire::Delta {
            schema: SCHEMA,
            partition: self.partition.0.into(),
            epoch: self.epoch.0,
            log: hash(self.log.0),
            revision: self.revision.0,
            base: match self.base {
                Base::Nothing => None,
                Base::At(revision) => Some(revision.0),
            },
            observed_unix_nanos: self.observed_unix_nanos,
            puts: self.puts.iter().map(put).collect(),
            removes: self.removes.iter().map(xds_key).collect(),
            reports: self.reports.iter().map(report).collect(),
        }
        .encode_to_vec()
    }

    /// Reads what [`Delta::encode`] wrote; bodies share `bytes`.
    ///
    /// # Errors
    /// If the bytes are no delta, or one of a newer version.
    pub fn decode(bytes: Bytes) -> Result<Delta, DeltaError> {
        let delta = wire::Delta::decode(bytes)?;
        if delta.schema > SCHEMA {
            return Err(DeltaError::Newer(delta.schema));
        }
        let partition =
            delta.partition.try_into().map_err(|_| DeltaError::Invalid("a partition is too large"))?;
        Ok(Delta {
            partition: Partition(partition),
            epoch: FencingEpoch(delta.epoch),
            log: LogId(read_hash(&delta.log)?),
            revision: Revision(delta.revision),
            base: delta.base.map_or(Base::Nothing, |base| Base::At(Revision(base))),
            observed_unix_nanos: delta.observed_unix_nanos,
            puts: delta.puts.into_iter().map(read_put).collect::<Result<_, _>>()?,
            removes: delta
                .removes
                .into_iter()
                .map(|key| read_xds_key(Some(key)))
                .collect::<Result<_, _>>()?,
            reports: delta.reports.into_iter().map(read_report).collect::<Result<_, _>>()?,
        })
    }
}

/// The kinds in the order of their numbers on the wire.
const KINDS: [XdsKind; 8] = [
    XdsKind::Cluster,
    XdsKind::Endpoints,
    XdsKind::Listener,
    XdsKind::RouteTable,
    XdsKind::VirtualHost,
    XdsKind::Routes,
    XdsKind::Secret,
    XdsKind::ScopedListener,
];

fn number(kind: XdsKind) -> u32 {
    match kind {
        XdsKind::Cluster => 0,
        XdsKind::Endpoints => 1,
        XdsKind::Listener => 2,
        XdsKind::RouteTable => 3,
        XdsKind::VirtualHost => 4,
        XdsKind::Routes => 5,
        XdsKind::Secret => 6,
        XdsKind::ScopedListener => 7,
    }
}

fn hash(hash: u128) -> Bytes {
    Bytes::copy_from_slice(&hash.to_be_bytes())
}

fn read_hash(bytes: &[u8]) -> Result<u128, DeltaError> {
    let bytes = bytes.try_into().map_err(|_| DeltaError::Invalid("a hash does not have 16 bytes"))?;
    Ok(u128::from_be_bytes(bytes))
}

fn object(key: &ResourceKey) -> wire::ObjectKey {
    wire::ObjectKey {
        cluster: key.cluster.0.to_string(),
        kind: key.kind.0.to_string(),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
    }
}

fn read_object(key: Option<wire::ObjectKey>) -> Result<ResourceKey, DeltaError> {
    let key = key.ok_or(DeltaError::Invalid("the key of an object is missing"))?;
    Ok(ResourceKey {
        cluster: ClusterId(key.cluster.into()),
        kind: Kind(key.kind.into()),
        namespace: key.namespace.into(),
        name: key.name.into(),
    })
}

fn xds_key(key: &XdsKey) -> wire::XdsKey {
    wire::XdsKey {
        scope: Some(object(&key.scope)),
        kind: number(key.kind),
        name: key.name.to_string(),
        domain: key.domain.to_string(),
        route: key.route.to_string(),
    }
}

fn read_xds_key(key: Option<wire::XdsKey>) -> Result<XdsKey, DeltaError> {
    let key = key.ok_or(DeltaError::Invalid("the key of a piece is missing"))?;
    let kind = KINDS.get(key.kind as usize).ok_or(DeltaError::Invalid("a piece of an unknown kind"))?;
    Ok(XdsKey {
        scope: read_object(key.scope)?,
        kind: *kind,
        name: key.name.into(),
        domain: key.domain.into(),
        route: key.route.into(),
    })
}

fn put(put: &Put) -> wire::Put {
    let entry = |entry: &RouteEntry| wire::RouteEntry {
        order: entry.order,
        path: entry.path.as_ref().map(ToString::to_string),
        body: entry.body.clone(),
    };
    let routes = |set: &RouteSet| wire::RouteSet {
        specificity: set.specificity.into(),
        created: set.created.to_string(),
        entries: set.entries.iter().map(entry).collect(),
    };
    let private_key = |key: &PrivateKeyRef| wire::PrivateKeyRef {
        secret: Some(object(&key.secret)),
        certificate: hash(key.certificate.0),
    };
    let (up_to, routes) = match &put.routing {
        None => (None, None),
        Some(Routing::UpTo(domain)) => (Some(domain.to_string()), None),
        Some(Routing::Routes(set)) => (None, Some(routes(set))),
    };
    wire::Put {
        key: Some(xds_key(&put.key)),
        version: hash(put.version.0),
        body: put.body.clone(),
        private_key: put.private_key.as_ref().map(private_key),
        up_to,
        routes,
    }
}

fn read_put(put: wire::Put) -> Result<Put, DeltaError> {
    let entry = |entry: wire::RouteEntry| RouteEntry {
        order: entry.order,
        path: entry.path.map(Into::into),
        body: entry.body,
    };
    let routing = match (put.up_to, put.routes) {
        (Some(domain), _) => Some(Routing::UpTo(domain.into())),
        (None, Some(set)) => Some(Routing::Routes(Arc::new(RouteSet {
            specificity: u16::try_from(set.specificity)
                .map_err(|_| DeltaError::Invalid("a specificity is too large"))?,
            created: set.created.into(),
            entries: set.entries.into_iter().map(entry).collect(),
        }))),
        (None, None) => None,
    };
    let private_key = |key: wire::PrivateKeyRef| {
        let certificate = ContentHash(read_hash(&key.certificate)?);
        Ok::<_, DeltaError>(PrivateKeyRef { secret: read_object(key.secret)?, certificate })
    };
    Ok(Put {
        key: read_xds_key(put.key)?,
        version: ContentHash(read_hash(&put.version)?),
        body: put.body,
        private_key: put.private_key.map(private_key).transpose()?,
        routing,
    })
}

fn report(report: &Report) -> wire::Report {
    let gateway = |key: &Option<ResourceKey>| wire::Gateway { key: key.as_ref().map(object) };
    let gateways = |parents: &[ParentStatus]| parents.iter().map(|parent| gateway(&parent.gateway)).collect();
    let key = Some(object(&report.key));
    let Some(status) = &report.status else { return wire::Report { key, ..wire::Report::default() } };
    wire::Report {
        key,
        // A status is made of texts and numbers, which JSON has.
        status: Some(serde_json::to_vec(status).unwrap_or_default().into()),
        gateway: status.gateway.is_some().then(|| gateway(&status.gateway)),
        parents: gateways(&status.parents),
        ancestors: gateways(&status.ancestors),
    }
}

fn read_report(report: wire::Report) -> Result<Report, DeltaError> {
    let key = read_object(report.key)?;
    let Some(text) = report.status else { return Ok(Report { key, status: None }) };
    let invalid = |reason: String| DeltaError::Status { object: Box::new(key.clone()), reason };
    let mut status: ObjectStatus =
        serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
    let read = |gateway: wire::Gateway| gateway.key.map(|key| read_object(Some(key))).transpose();
    status.gateway = report.gateway.map_or(Ok(None), read)?;
    for (parents, gateways) in
        [(&mut status.parents, report.parents), (&mut status.ancestors, report.ancestors)]
    {
        if parents.len() != gateways.len() {
            return Err(invalid("it has another number of parents than of Gateways".to_owned()));
        }
        for (parent, gateway) in parents.iter_mut().zip(gateways) {
            parent.gateway = read(gateway)?;
        }
    }
    Ok(Report { key, status: Some(status) })
}

#[cfg(test)]
mod tests;
