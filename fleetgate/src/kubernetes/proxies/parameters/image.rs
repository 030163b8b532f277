//! A container's image, in parts.

use serde::Deserialize;

/// What is absent of it is as in the default image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Image {
    registry: Option<String>,
    pub(crate) repository: Option<String>,
    tag: Option<String>,
    digest: Option<String>,
    /// `imagePullPolicy` of the container.
    pub(crate) pull_policy: Option<String>,
}

impl Image {
    /// The image, each part of it in the place of the default's.
    pub(crate) fn or(&self, default: &str) -> String {
        let (name, tag) = match default.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (default, None),
        };
        let (registry, repository) = match name.rsplit_once('/') {
            Some((registry, repository)) => (Some(registry), repository),
            None => (None, name),
        };
        let registry = self.registry.as_deref().or(registry);
        let repository = self.repository.as_deref().unwrap_or(repository);
        let tag = self.tag.as_deref().or(tag);
        let mut image = registry.map(|registry| format!("{registry}/")).unwrap_or_default() + repository;
        if let Some(tag) = tag {
            image = format!("{image}:{tag}");
        }
        match &self.digest {
            Some(digest) => format!("{image}@{digest}"),
            None => image,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Image;

    #[test]
    fn parts_of_an_image_replace_those_of_the_default() {
        let image = |value| serde_json::from_value::<Image>(value).unwrap().or("example.com/a/envoy:1");
        assert_eq!(image(json!({})), "example.com/a/envoy:1");
        assert_eq!(image(json!({"tag": "2"})), "example.com/a/envoy:2");
        assert_eq!(
            image(json!({"registry": "r", "repository": "x", "digest": "sha256:0"})),
            "r/x:1@sha256:0"
        );
        assert_eq!(Image::default().or("envoy"), "envoy");
        assert_eq!(Image::default().or("host:5000/envoy"), "host:5000/envoy");
    }
}
