// Shows the document of this server. Nothing is fetched from elsewhere, and no credential is kept.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "none",
  persistAuthorization: false,
  validatorUrl: null,
});
