"""Plan machines: memory of model servers, and what a number of documents and questions takes."""
