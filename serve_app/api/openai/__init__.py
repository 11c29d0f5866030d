"""OpenAI's API of pictures, videos and models, as its SDKs use it, over the same jobs and media."""
