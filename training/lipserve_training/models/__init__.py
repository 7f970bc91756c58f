"""Networks that training needs beside the generator."""
