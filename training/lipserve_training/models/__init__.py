"""The networks that training needs beside the generator."""
