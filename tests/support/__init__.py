"""What tests share. Fixtures stand in the conftest of the folder that uses them."""
